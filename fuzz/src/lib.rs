//! What the core is held against: base64 and masking spelled out, and JSON by somebody else's parser.

use serde_json::{Map, Value};

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 §4: three bytes are four symbols, what is missing of them is `=`.
#[must_use]
pub fn base64_of(bytes: &[u8]) -> String {
    encode(bytes, STANDARD)
}

/// The bytes of which `text` is the base64, in one of the two alphabets, padded or not.
///
/// Takes symbols for bits without a look at the rules, and lets the encoder say whether they were kept.
#[must_use]
pub fn bytes_of(text: &[u8]) -> Option<Vec<u8>> {
    [STANDARD, URL_SAFE].into_iter().find_map(|alphabet| {
        let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
        let mut bytes = Vec::new();
        let (mut bits, mut held) = (0_u32, 0);
        for symbol in &text[..text.len() - padding] {
            let value = (0..64).find(|place| alphabet[*place as usize] == *symbol)?;
            bits = bits << 6 | value;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xff) as u8);
                bits &= (1 << held) - 1;
            }
        }
        let kept = encode(&bytes, alphabet);
        let bare = kept.trim_end_matches('=');
        (text == kept.as_bytes() || text == bare.as_bytes()).then_some(bytes)
    })
}

fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let symbols = bytes.chunks(3).flat_map(|group| {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        (0..4).map(move |place| {
            if place > group.len() {
                '='
            } else {
                char::from(alphabet[(bits >> (18 - 6 * place) & 63) as usize])
            }
        })
    });
    symbols.collect()
}

/// What a parser finds in a message: samples and rate, if one piece of audio is all there is in it.
#[must_use]
pub fn audio_of(message: &[u8]) -> Option<(Vec<u8>, u64)> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let content = member(&message, "serverContent", &[])?;
    let turn = member(content, "modelTurn", &[])?;
    let parts = member(turn, "parts", &["role"])?;
    if turn.get("role").is_some_and(|role| role != "model") {
        return None;
    }
    let [part] = parts.as_array()?.as_slice() else {
        return None;
    };
    let blob = member(part, "inlineData", &[])?;
    let text = member(blob, "data", &["mimeType"])?.as_str()?;
    let rate_hz = match blob.get("mimeType")?.as_str()? {
        "audio/pcm" => 24_000,
        other => {
            let digits = other.strip_prefix("audio/pcm;rate=")?;
            let rate_hz: u64 = digits.parse().ok()?;
            // a rate is not 0, and is written in one way
            (rate_hz > 0 && digits == rate_hz.to_string()).then_some(rate_hz)?
        }
    };
    Some((bytes_of(text.as_bytes())?, rate_hz))
}

/// The message in a client's frame, of which everything else is as it must be: RFC 6455 §5.2, one byte after the other.
///
/// # Panics
///
/// If it is not.
#[must_use]
pub fn message_of(frame: &[u8]) -> Vec<u8> {
    assert_eq!(frame[0], 0x81, "the last frame of a text, no reserved bit");
    assert_eq!(frame[1] & 0x80, 0x80, "masked");
    let long = match frame[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let length = if long == 0 {
        usize::from(frame[1] & 0x7f)
    } else {
        let bytes = &frame[2..2 + long];
        bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte))
    };
    let fewest = [0, 126, 0x1_0000][long.div_ceil(4)];
    assert!(length >= fewest, "in the fewest bytes");
    let (key, masked) = frame[2 + long..].split_at(4);
    assert_eq!(masked.len(), length, "as long as it says");
    let places = masked.iter().enumerate();
    places.map(|(place, byte)| byte ^ key[place % 4]).collect()
}

/// The payload of a client's message, of which everything else is as it must be.
///
/// # Panics
///
/// If it is not.
#[must_use]
pub fn payload_of(message: &[u8], stream: &str, mime_type: &str) -> Vec<u8> {
    let message: Value = serde_json::from_slice(message).expect("a message is JSON");
    let input = member(&message, "realtimeInput", &[]).expect("and one realtimeInput");
    let blob = member(input, stream, &[]).expect("with one blob");
    let text = member(blob, "data", &["mimeType"]).expect("of data");
    assert_eq!(blob["mimeType"], mime_type);
    bytes_of(text.as_str().expect("as text").as_bytes()).expect("in base64")
}

/// One member of an object that has no others but these.
fn member<'a>(value: &'a Value, name: &str, others: &[&str]) -> Option<&'a Value> {
    let object: &Map<String, Value> = value.as_object()?;
    let known = |key: &String| key == name || others.contains(&key.as_str());
    object.get(name).filter(|_| object.keys().all(known))
}
