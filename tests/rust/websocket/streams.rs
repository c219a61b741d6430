//! Streams that are drawn by lot, valid and not, and frames of a client taken apart by others.

use gemini_live_core::mask::Key;
use gemini_live_core::websocket::{
    MAX_CONTROL_BYTES, Parser, finish_frame, frame_bytes, header_bytes, unmask,
};
use proptest::prelude::*;

use crate::{BEGIN_BINARY, BEGIN_TEXT, BINARY, CLOSE, END, GO_ON, Got, PING, PONG, TEXT};
use crate::{close_frame, cut, frame, message, parsed};

/// A length where something changes, or a short one.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0_usize..200, 1 => 65_530_usize..65_540]
}

fn control() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let payload = prop::collection::vec(any::<u8>(), 0..=MAX_CONTROL_BYTES);
    (prop::sample::select(&[PING, PONG][..]), payload)
}

fn control_item(first: u8, payload: Vec<u8>) -> Got {
    if first == PING {
        Got::Ping(payload)
    } else {
        Got::Pong(payload)
    }
}

/// Frames of one message or of one control frame, and what they are.
fn piece() -> impl Strategy<Value = (Vec<u8>, Vec<Got>)> {
    let whole = (length(), any::<u8>(), any::<bool>()).prop_map(|(length, byte, text)| {
        let payload = vec![if text { byte & 0x7F } else { byte }; length];
        (
            frame(if text { TEXT } else { BINARY }, &payload),
            vec![Got::Message(payload)],
        )
    });
    let text = "\\PC{0,40}"
        .prop_map(|text| (frame(TEXT, text.as_bytes()), vec![message(text.as_bytes())]));
    let fragmented = (
        "\\PC{0,60}",
        any::<bool>(),
        prop::collection::vec(
            (any::<prop::sample::Index>(), prop::option::of(control())),
            1..6,
        ),
    )
        .prop_map(|(text, binary, cuts)| {
            let places = cuts.iter().map(|(index, _)| index.index(text.len() + 1));
            let fragments = cut(text.as_bytes(), places);
            let (mut stream, mut items) = (Vec::new(), Vec::new());
            let last = fragments.len() - 1;
            let mut controls = cuts.into_iter().map(|(_, control)| control);
            for (index, fragment) in fragments.iter().enumerate() {
                let opcode = match (index, binary) {
                    (0, true) => BEGIN_BINARY,
                    (0, false) => BEGIN_TEXT,
                    _ => GO_ON,
                };
                stream.extend(frame(
                    if index == last { END } else { 0 } | opcode,
                    fragment,
                ));
                if let Some((first, payload)) = controls.next().flatten() {
                    stream.extend(frame(first, &payload));
                    items.push(control_item(first, payload));
                }
            }
            items.push(message(text.as_bytes()));
            (stream, items)
        });
    let alone = control()
        .prop_map(|(first, payload)| (frame(first, &payload), vec![control_item(first, payload)]));
    prop_oneof![whole, text, fragmented, alone]
}

fn ending() -> impl Strategy<Value = (Vec<u8>, Vec<Got>)> {
    let code = prop_oneof![1000_u16..1004, 1007_u16..1015, 3000_u16..5000];
    prop_oneof![
        Just((vec![], vec![])),
        Just((frame(CLOSE, b""), vec![Got::Close(None, String::new())])),
        (code, "\\PC{0,30}").prop_map(|(code, reason)| {
            (
                close_frame(code, reason.as_bytes()),
                vec![Got::Close(Some(code), reason)],
            )
        }),
    ]
}

/// A frame of a client, taken apart as §5.2 and §5.3 draw it.
fn naive_unmask(frame: &[u8]) -> (u8, Vec<u8>) {
    let mut bytes = frame.iter().copied();
    let mut next = || bytes.next().expect("more");
    let first = next();
    let second = next();
    assert_eq!(first & 0xF0, 0x80, "one whole message, no reserved bit");
    assert_eq!(second & 0x80, 0x80, "masked");
    let mut number = |places| (0..places).fold(0, |number, _| number << 8 | u64::from(next()));
    let length = match second & 0x7F {
        126 => number(2),
        127 => number(8),
        short => short.into(),
    };
    let key = [next(), next(), next(), next()];
    let payload: Vec<u8> = bytes
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    assert_eq!(payload.len() as u64, length);
    (first & 0x0F, payload)
}

proptest! {
    #[test]
    fn a_valid_stream_gives_the_same_in_any_cut(
        pieces in prop::collection::vec(piece(), 0..6),
        end in ending(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (streams, items): (Vec<_>, Vec<_>) = pieces.into_iter().chain([end]).unzip();
        let (stream, items) = (streams.concat(), items.concat());
        prop_assert_eq!(&parsed([&stream[..]]), &items);
        let places = places.iter().map(|place| place.index(stream.len() + 1));
        prop_assert_eq!(&parsed(cut(&stream, places)), &items);
    }

    #[test]
    fn a_broken_stream_gives_the_same_in_any_cut(
        pieces in prop::collection::vec(piece(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream = pieces.into_iter().map(|(stream, _)| stream).collect::<Vec<_>>().concat();
        for (place, byte) in &changes {
            let place = place.index(stream.len());
            stream[place] ^= byte;
        }
        let places = places.iter().map(|place| place.index(stream.len() + 1));
        prop_assert_eq!(parsed(cut(&stream, places)), parsed([&stream[..]]));
    }

    #[test]
    fn noise_gives_the_same_in_any_cut(
        stream in prop::collection::vec(any::<u8>(), 0..300),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let places = places.iter().map(|place| place.index(stream.len() + 1));
        prop_assert_eq!(parsed(cut(&stream, places)), parsed([&stream[..]]));
    }

    #[test]
    fn what_a_client_sends_is_what_a_server_reads(
        opcode in prop::sample::select(&[1_u8, 2, 8, 9, 10][..]),
        key in any::<Key>(),
        length in length(),
        seed in any::<u8>(),
    ) {
        let payload: Vec<u8> = (0..=u8::MAX).cycle().skip(seed.into()).take(length).collect();
        let mut frame = vec![0; frame_bytes(length)];
        let start = frame.len() - length;
        frame[start..].copy_from_slice(&payload);
        prop_assert_eq!(finish_frame(opcode, key, length, &mut frame), Some(()));
        prop_assert_eq!(naive_unmask(&frame), (opcode, payload.clone()));
        prop_assert_eq!(unmask(&frame), Some((opcode, payload)));

        // one byte more or less is not that frame
        prop_assert_eq!(unmask(&frame[..frame.len() - 1]), None);
        frame.push(0);
        prop_assert_eq!(unmask(&frame), None);
    }

    #[test]
    fn unmasking_takes_anything(noise in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some((opcode, payload)) = unmask(&noise) {
            prop_assert_eq!(naive_unmask(&noise), (opcode, payload));
        }
    }
}

#[test]
fn a_place_that_is_too_short_for_a_header_is_left_alone() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let header_bytes = header_bytes(length);
        for given in 0..header_bytes {
            let mut place = vec![b'?'; given];
            assert_eq!(finish_frame(1, [1, 2, 3, 4], length, &mut place), None);
            assert_eq!(place, vec![b'?'; given]);
        }
    }
}

#[test]
fn the_memory_of_a_large_message_is_given_back() {
    let large = frame(BINARY, &vec![0; 1 << 20]);
    for stream in [large.clone(), [large, close_frame(1000, b"")].concat()] {
        let mut parser = Parser::new(1 << 21);
        parser.buffer().extend_from_slice(&stream);
        while parser.next().is_some() {}
        assert!(parser.buffer().capacity() <= 1 << 17);
    }
}
