//! However a server's stream is cut, the same comes out of it, the memory is bounded, and nothing comes after the end.

#![no_main]

use gemini_live_core::websocket::{Item, MAX_CONTROL_BYTES, Parser, Violation, unmask};
use libfuzzer_sys::fuzz_target;

/// The longest header of a frame without a key.
const MAX_HEADER_BYTES: usize = 10;

/// An item that can be kept.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Message(Vec<u8>),
    Control(bool, Vec<u8>),
    Close(Option<u16>, String),
    Violation(Violation),
}

/// What the pieces between these places give, one after the other.
fn parsed(stream: &[u8], ends: &[usize], max_message_bytes: usize) -> Vec<Got> {
    let mut parser = Parser::new(max_message_bytes);
    let mut items = Vec::new();
    for piece in ends.windows(2) {
        parser
            .buffer()
            .extend_from_slice(&stream[piece[0]..piece[1]]);
        while let Some(item) = parser.next() {
            let ended = matches!(items.last(), Some(Got::Close(..) | Got::Violation(_)));
            assert!(!ended, "nothing comes after the end");
            items.push(match item {
                Item::Message(message) => {
                    assert!(message.len() <= max_message_bytes);
                    Got::Message(message.to_vec())
                }
                Item::Ping(payload) | Item::Pong(payload) => {
                    assert!(payload.len() <= MAX_CONTROL_BYTES);
                    Got::Control(matches!(item, Item::Ping(_)), payload.to_vec())
                }
                Item::Close(code, reason) => Got::Close(code, reason.to_owned()),
                Item::Violation(violation) => {
                    assert!(matches!(violation.code, 1002 | 1007 | 1009));
                    Got::Violation(violation)
                }
            });
        }
        let longest = max_message_bytes.max(MAX_CONTROL_BYTES);
        assert!(
            parser.buffer().len() < MAX_HEADER_BYTES + longest,
            "only what is not complete is kept"
        );
    }
    items
}

fuzz_target!(|input: &[u8]| {
    // a limit, cuts, their number before them, and the stream
    let [limit, cuts, rest @ ..] = input else {
        return;
    };
    let (cuts, stream) = rest.split_at(rest.len().min(usize::from(cuts % 16)));
    let max_message_bytes = 4 * usize::from(*limit);
    let whole = parsed(stream, &[0, stream.len()], max_message_bytes);
    let places = cuts
        .iter()
        .map(|cut| usize::from(*cut) * stream.len() / 255);
    let mut ends: Vec<usize> = places.chain([0, stream.len()]).collect();
    ends.sort_unstable();
    assert_eq!(parsed(stream, &ends, max_message_bytes), whole);
    let bytes: Vec<usize> = (0..=stream.len()).collect();
    assert_eq!(parsed(stream, &bytes, max_message_bytes), whole);

    // a client's frame is none of a server's
    if unmask(stream).is_some() {
        assert!(matches!(whole[..], [Got::Violation(_)]));
    }
});
