//! RFC 6455 by section.

use gemini_live_core::websocket::{MAX_CONTROL_BYTES, finish_frame, frame_bytes, unmask};

use crate::{
    BEGIN_BINARY, BEGIN_TEXT, BINARY, CLOSE, END, GO_ON, Got, MAX_MESSAGE_BYTES, PING, PONG, TEXT,
};
use crate::{close_frame, cut, frame, message, parsed};

/// A case: what the section says, a stream, and what becomes of it.
type Case = (&'static str, Vec<u8>, Vec<Got>);

const PROTOCOL_ERROR: Got = Got::Violation(1002);
const INVALID_DATA: Got = Got::Violation(1007);
const TOO_BIG: Got = Got::Violation(1009);

/// The byte that a stream ends with is the one that completes its last item, or that breaks the rules.
fn cases() -> Vec<Case> {
    let mut cases = framing();
    cases.extend(fragmentation());
    cases.extend(control_frames());
    cases.extend(closing());
    cases.extend(utf_8());
    cases
}

fn framing() -> Vec<Case> {
    let whole = |length: usize| {
        let payload = vec![b'x'; length];
        (frame(BINARY, &payload), vec![Got::Message(payload)])
    };
    let bad = |says, stream: &[u8], verdict| (says, stream.to_vec(), vec![verdict]);
    let mut cases: Vec<Case> = [
        ("5.2 length: none", 0),
        ("5.2 length: one", 1),
        ("5.2 length: the longest of 7 bits", 125),
        ("5.2 length: the shortest of 16 bits", 126),
        ("5.2 length: one that needs both bytes", 0x0102),
        ("5.2 length: the longest of 16 bits", 65_535),
        ("5.2 length: the shortest of 64 bits", 65_536),
        ("10.4 the longest that is taken", MAX_MESSAGE_BYTES),
    ]
    .map(|(says, length)| {
        let (stream, items) = whole(length);
        (says, stream, items)
    })
    .into();
    cases.extend([
        (
            "5.2 length: in more bytes than it needs, which is the sender's sin and does no harm",
            b"\x82\x7e\x00\x01x\x82\x7f\0\0\0\0\0\0\0\x01y".to_vec(),
            vec![message(b"x"), message(b"y")],
        ),
        bad(
            "5.2 length: the most significant bit is 0",
            b"\x82\x7f\x80\0\0\0\0\0\0\0",
            PROTOCOL_ERROR,
        ),
        bad(
            "10.4 announced longer than is taken",
            b"\x82\x7f\0\0\0\0\0\x01\x86\xa1",
            TOO_BIG,
        ),
        bad(
            "10.4 announced as long as can be",
            b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
            TOO_BIG,
        ),
        bad("5.2 RSV1 without an extension", b"\xc1\x00", PROTOCOL_ERROR),
        bad("5.2 RSV2 without an extension", b"\xa1\x00", PROTOCOL_ERROR),
        bad("5.2 RSV3 without an extension", b"\x91\x00", PROTOCOL_ERROR),
        bad("5.2 RSV of a control frame", b"\xc9\x00", PROTOCOL_ERROR),
        bad(
            "5.1 a server's frame is not masked",
            b"\x81\x80",
            PROTOCOL_ERROR,
        ),
        bad(
            "5.1 a server's control frame neither",
            b"\x89\x80",
            PROTOCOL_ERROR,
        ),
        bad("5.2 what is not WebSocket at all", b"HT", PROTOCOL_ERROR),
    ]);
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(bad(
            "5.2 a reserved opcode",
            &[0x80 | opcode, 0],
            PROTOCOL_ERROR,
        ));
    }
    cases
}

fn fragmentation() -> Vec<Case> {
    vec![
        (
            "5.4 of two",
            [frame(BEGIN_TEXT, b"Hel"), frame(END, b"lo")].concat(), // §5.7
            vec![message(b"Hello")],
        ),
        (
            "5.4 of many, some of them empty",
            [
                frame(BEGIN_BINARY, b""),
                frame(GO_ON, b"a"),
                frame(GO_ON, b""),
                frame(GO_ON, &vec![b'b'; 70_000]),
                frame(END, b""),
            ]
            .concat(),
            vec![Got::Message([&b"a"[..], &[b'b'; 70_000]].concat())],
        ),
        (
            "5.4 one message after the other",
            [
                frame(BEGIN_TEXT, b"a"),
                frame(END, b"b"),
                frame(TEXT, b"c"),
                frame(BEGIN_BINARY, b"d"),
                frame(END, b"e"),
            ]
            .concat(),
            vec![message(b"ab"), message(b"c"), message(b"de")],
        ),
        (
            "5.4 control frames in the middle",
            [
                frame(BEGIN_TEXT, b"Hel"),
                frame(PING, b"1"),
                frame(GO_ON, b"l"),
                frame(PONG, b"2"),
                frame(END, b"o"),
            ]
            .concat(),
            vec![
                Got::Ping(b"1".to_vec()),
                Got::Pong(b"2".to_vec()),
                message(b"Hello"),
            ],
        ),
        (
            "5.5.1 a close in the middle: the rest will never come",
            [frame(BEGIN_TEXT, b"Hel"), close_frame(1001, b"")].concat(),
            vec![Got::Close(Some(1001), String::new())],
        ),
        (
            "5.4 a continuation of nothing",
            vec![GO_ON, 0],
            vec![PROTOCOL_ERROR],
        ),
        (
            "5.4 a last fragment of nothing",
            vec![END, 0],
            vec![PROTOCOL_ERROR],
        ),
        (
            "5.4 a continuation of what is complete",
            [&frame(TEXT, b"a")[..], &[END, 0]].concat(),
            vec![message(b"a"), PROTOCOL_ERROR],
        ),
        (
            "5.4 a new text inside of a message",
            [&frame(BEGIN_TEXT, b"a")[..], &[TEXT, 0]].concat(),
            vec![PROTOCOL_ERROR],
        ),
        (
            "5.4 a new fragmented message inside of a message",
            [&frame(BEGIN_TEXT, b"a")[..], &[BEGIN_BINARY, 0]].concat(),
            vec![PROTOCOL_ERROR],
        ),
        (
            "10.4 fragments together longer than is taken",
            [
                &frame(BEGIN_BINARY, &vec![0; 60_000])[..],
                &[END, 126, 0x9c, 0x41],
            ]
            .concat(), // 40,001
            vec![TOO_BIG],
        ),
        (
            "10.4 fragments together as long as is taken",
            [
                frame(BEGIN_BINARY, &vec![0; 60_000]),
                frame(END, &vec![0; 40_000]),
            ]
            .concat(),
            vec![Got::Message(vec![0; MAX_MESSAGE_BYTES])],
        ),
    ]
}

fn control_frames() -> Vec<Case> {
    let longest = [b'p'; MAX_CONTROL_BYTES];
    vec![
        (
            "5.5.2 an empty ping",
            frame(PING, b""),
            vec![Got::Ping(vec![])],
        ),
        (
            "5.5.2 the longest ping",
            frame(PING, &longest),
            vec![Got::Ping(longest.to_vec())],
        ),
        (
            "5.5.2 a ping need not be text",
            frame(PING, b"\xff\x00"),
            vec![Got::Ping(vec![0xFF, 0])],
        ),
        (
            "5.5.3 a pong that nobody asked for",
            frame(PONG, b"x"),
            vec![Got::Pong(b"x".to_vec())],
        ),
        ("5.5 a longer ping", vec![PING, 126], vec![PROTOCOL_ERROR]),
        ("5.5 a longer pong", vec![PONG, 126], vec![PROTOCOL_ERROR]),
        ("5.5 a longer close", vec![CLOSE, 127], vec![PROTOCOL_ERROR]),
        ("5.5 a fragmented ping", vec![0x09, 0], vec![PROTOCOL_ERROR]),
        ("5.5 a fragmented pong", vec![0x0A, 0], vec![PROTOCOL_ERROR]),
        (
            "5.5 a fragmented close",
            vec![0x08, 0],
            vec![PROTOCOL_ERROR],
        ),
    ]
}

fn closing() -> Vec<Case> {
    let mut cases = vec![
        (
            "5.5.1 a close without a code",
            frame(CLOSE, b""),
            vec![Got::Close(None, String::new())],
        ),
        (
            "5.5.1 a code and the longest reason",
            close_frame(1000, &[b'r'; 123]),
            vec![Got::Close(Some(1000), "r".repeat(123))],
        ),
        (
            "5.5.1 a reason is UTF-8",
            close_frame(1000, "Grüße".as_bytes()),
            vec![Got::Close(Some(1000), "Grüße".to_owned())],
        ),
        (
            "5.5.1 half of a code",
            frame(CLOSE, b"\x03"),
            vec![PROTOCOL_ERROR],
        ),
        (
            "8.1 a reason that is not UTF-8",
            close_frame(1000, b"\xff"),
            vec![INVALID_DATA],
        ),
        (
            "8.1 a reason that stops inside of a character",
            close_frame(1000, b"\xc3"),
            vec![INVALID_DATA],
        ),
        (
            "7.4 of two faults the first in the frame is told",
            close_frame(1005, b"\xff"),
            vec![PROTOCOL_ERROR],
        ),
    ];
    let all = 0..=u16::MAX;
    // §7.4.1, IANA's registry (1012 to 1014), and §7.4.2: 3000 to 3999 registered, 4000 to 4999 private
    let valid = |code: &u16| {
        (1000..1004).contains(code) || (1007..1015).contains(code) || (3000..5000).contains(code)
    };
    for code in all {
        let verdict = if valid(&code) {
            Got::Close(Some(code), String::new())
        } else {
            PROTOCOL_ERROR
        };
        cases.push(("7.4 codes", close_frame(code, b""), vec![verdict]));
    }
    cases
}

fn utf_8() -> Vec<Case> {
    let bad = |says, text: &[u8]| (says, frame(TEXT, text), vec![INVALID_DATA]);
    vec![
        (
            "8.1 text",
            frame(TEXT, "κόσμε 🎤".as_bytes()),
            vec![message("κόσμε 🎤".as_bytes())],
        ),
        (
            "8.1 the last character that there is",
            frame(TEXT, b"\xf4\x8f\xbf\xbf"),
            vec![message(b"\xf4\x8f\xbf\xbf")],
        ),
        (
            "8.1 bytes need not be text",
            frame(BINARY, b"\xff"),
            vec![message(b"\xff")],
        ),
        (
            "8.1 a character across fragments",
            [
                frame(BEGIN_TEXT, b"\xf0\x9f"),
                frame(PING, b""),
                frame(END, b"\x8e\xa4"),
            ]
            .concat(),
            vec![Got::Ping(vec![]), message("🎤".as_bytes())],
        ),
        (
            "8.1 half of a character at the end of the last fragment",
            [frame(BEGIN_TEXT, b"\xf0\x9f"), frame(END, b"\x8e")].concat(),
            vec![INVALID_DATA],
        ),
        (
            "8.1 no UTF-8 in the first fragment",
            [frame(BEGIN_TEXT, b"\xff"), frame(END, b"a")].concat(),
            vec![INVALID_DATA],
        ),
        bad("8.1 a byte that is in no character", b"a\xff"),
        bad("8.1 a continuation byte by itself", b"\x80"),
        bad("8.1 a character that stops", b"\xe2\x82"),
        bad("8.1 an overlong character", b"\xc0\xaf"),
        bad("8.1 a surrogate", b"\xed\xa0\x80"),
        bad("8.1 beyond the last character", b"\xf4\x90\x80\x80"),
    ]
}

#[test]
fn the_rfc_by_section() {
    for (says, stream, items) in cases() {
        let shown = &stream[..stream.len().min(20)];
        assert_eq!(parsed([&stream[..]]), items, "{says}: {shown:02x?}");
        let early = parsed([&stream[..stream.len() - 1]]);
        assert_eq!(
            early,
            items[..items.len() - 1],
            "{says}: not before the last byte of {shown:02x?}"
        );
        let places: Vec<usize> = if stream.len() < 1_000 {
            (0..stream.len()).collect()
        } else {
            vec![1, 2, 9, 10, 11]
        };
        assert_eq!(
            parsed(cut(&stream, places)),
            items,
            "{says}: byte by byte, {shown:02x?}"
        );
    }
}

#[test]
fn nothing_comes_after_the_end() {
    let after = [
        frame(TEXT, b"a"),
        frame(PING, b""),
        close_frame(1000, b""),
        vec![0xFF, 0xFF],
    ]
    .concat();
    let ends = cases()
        .into_iter()
        .filter(|(_, _, items)| matches!(items.last(), Some(Got::Close(..) | Got::Violation(_))));
    for (says, stream, items) in ends {
        assert_eq!(
            parsed([&stream[..], &after[..]]),
            items,
            "1.4, 7.1.7: in a read of its own, after {says}"
        );
        assert_eq!(
            parsed([&[&stream[..], &after[..]].concat()[..]]),
            items,
            "1.4, 7.1.7: in the same, after {says}"
        );
    }
}

#[test]
fn the_header_of_a_client() {
    let headers: [(usize, &[u8]); 6] = [
        (0, &[0x81, 0x80]),
        (125, &[0x81, 0xFD]),
        (126, &[0x81, 0xFE, 0, 126]),
        (65_535, &[0x81, 0xFE, 0xFF, 0xFF]),
        (65_536, &[0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]),
        (1 << 24, &[0x81, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0]),
    ];
    for (length, header) in headers {
        let mut frame = vec![0; frame_bytes(length)];
        assert_eq!(finish_frame(1, [1, 2, 3, 4], length, &mut frame), Some(()));
        assert_eq!(frame.len(), header.len() + 4 + length, "{length}");
        assert!(
            frame.starts_with(&[header, &[1, 2, 3, 4]].concat()),
            "{length}"
        );
    }
}

#[test]
fn what_is_not_one_whole_frame_of_a_client_is_not_unmasked() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // §5.7
    assert_eq!(unmask(hello), Some((1, b"Hello".to_vec())));
    for first in [0x01, 0xC1, 0xA1, 0x91] {
        assert_eq!(
            unmask(&[&[first], &hello[1..]].concat()),
            None,
            "{first:02x}"
        );
    }
    assert_eq!(unmask(&frame(TEXT, b"Hello")), None, "a server's");
    for end in 0..hello.len() {
        assert_eq!(unmask(&hello[..end]), None);
    }
}
