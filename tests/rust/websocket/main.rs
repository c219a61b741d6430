//! The WebSocket layer against frames spelled out below: RFC 6455 as a table, and any stream in any cut.

mod rfc_6455;
mod streams;

use gemini_live_core::websocket::{Item, Parser, Violation};

const MAX_MESSAGE_BYTES: usize = 100_000;
/// The longest header of a frame without a key.
const MAX_HEADER_BYTES: usize = 10;

/// An [`Item`] that can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Violation(u16),
}

impl From<Item<'_>> for Got {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Message(message) => Self::Message(message.to_vec()),
            Item::Ping(payload) => Self::Ping(payload.to_vec()),
            Item::Pong(payload) => Self::Pong(payload.to_vec()),
            Item::Close(code, reason) => Self::Close(code, reason.to_owned()),
            Item::Violation(Violation { code, reason }) => {
                assert!(!reason.is_empty());
                Self::Violation(code)
            }
        }
    }
}

/// Feed the pieces, one after the other, to a new parser.
fn parsed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Got> {
    let mut parser = Parser::new(MAX_MESSAGE_BYTES);
    let mut items = Vec::new();
    for piece in pieces {
        parser.buffer().extend_from_slice(piece);
        while let Some(item) = parser.next() {
            items.push(item.into());
        }
        // only what is not complete is kept
        assert!(parser.buffer().len() < MAX_HEADER_BYTES + MAX_MESSAGE_BYTES);
    }
    items
}

/// The pieces of `stream` between some places.
fn cut(stream: &[u8], places: impl IntoIterator<Item = usize>) -> Vec<&[u8]> {
    let mut ends: Vec<usize> = places.into_iter().collect();
    ends.extend([0, stream.len()]);
    ends.sort_unstable();
    ends.windows(2)
        .map(|ends| &stream[ends[0]..ends[1]])
        .collect()
}

/// A server's frame as §5.2 draws it: `first` is FIN, the reserved bits and the opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let length = payload.len();
    match length {
        0..126 => frame.push(u8::try_from(length).expect("7 bits")),
        126..65_536 => {
            frame.push(126);
            frame.extend(u16::try_from(length).expect("16 bits").to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const BEGIN_TEXT: u8 = 0x01;
const BEGIN_BINARY: u8 = 0x02;
const GO_ON: u8 = 0x00;
const END: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

fn message(payload: &[u8]) -> Got {
    Got::Message(payload.to_vec())
}

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}
