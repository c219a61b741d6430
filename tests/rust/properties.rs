//! The core against independent implementations: base64 spelled out below, JSON by `serde_json`, rounding by the
//! standard library.

use gemini_live_core::base64;
use gemini_live_core::decode::ModelAudio;
use gemini_live_core::encoder::Encoder;
use gemini_live_core::mask;
use gemini_live_core::pcm::{Defects, Interleaved, Sample};
use gemini_live_core::websocket::{opcode, unmask};
use proptest::prelude::*;
use serde_json::Value;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 §4, one bit after the other.
fn naive_encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1))
        .collect();
    let mut text: String = bits
        .chunks(6)
        .map(|bits| {
            let value = (0..6).fold(0, |value, place| {
                value << 1 | bits.get(place).copied().unwrap_or(0)
            });
            char::from(alphabet[usize::from(value)])
        })
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// What encodes to `text`, if anything does: decodes symbol by symbol without a look at the rules, then encodes again.
fn naive_decode(text: &str) -> Option<Vec<u8>> {
    [STANDARD, URL_SAFE].into_iter().find_map(|alphabet| {
        let symbols = text.trim_end_matches('=');
        let mut bits = Vec::new();
        for symbol in symbols.bytes() {
            let value = alphabet.iter().position(|letter| *letter == symbol)?;
            bits.extend((0..6).rev().map(|place| value >> place & 1 == 1));
        }
        let bytes: Vec<u8> = bits
            .chunks_exact(8)
            .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
            .collect();
        let canonical = naive_encode(&bytes, alphabet);
        (text == canonical || text == canonical.trim_end_matches('=')).then_some(bytes)
    })
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; base64::decoded_len(text)?];
    let written = base64::decode(text, &mut out)?;
    assert_eq!(written, out.len(), "decoded_len is exact");
    Some(out)
}

/// What the hot path makes of a message.
fn recognise(message: &[u8]) -> Option<(Vec<u8>, u64)> {
    let audio = ModelAudio::recognise(message)?;
    let mut pcm = vec![0; audio.pcm_bytes()?];
    audio.write_pcm(&mut pcm)?;
    Some((pcm, audio.rate_hz().into()))
}

/// What a parser of JSON makes of it: audio only if there is nothing else in it.
fn parse(message: &[u8]) -> Option<(Vec<u8>, u64)> {
    fn only<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a serde_json::Map<String, Value>> {
        value
            .as_object()
            .filter(|object| object.keys().all(|key| keys.contains(&key.as_str())))
    }
    let message: Value = serde_json::from_slice(message).ok()?;
    let content = only(&message, &["serverContent"])?.get("serverContent")?;
    let turn = only(
        only(content, &["modelTurn"])?.get("modelTurn")?,
        &["role", "parts"],
    )?;
    if turn.get("role").is_some_and(|role| role != "model") {
        return None;
    }
    let [part] = turn.get("parts")?.as_array()?.as_slice() else {
        return None;
    };
    let blob = only(
        only(part, &["inlineData"])?.get("inlineData")?,
        &["mimeType", "data"],
    )?;
    let rate_hz = match blob.get("mimeType")?.as_str()? {
        "audio/pcm" => 24_000,
        mime_type => mime_type.strip_prefix("audio/pcm;rate=")?.parse().ok()?,
    };
    Some((naive_decode(blob.get("data")?.as_str()?)?, rate_hz))
}

/// A message of the accepted shape, with everything that may vary.
fn hot_message() -> impl Strategy<Value = (String, Vec<u8>, u64)> {
    let white_space = "[ \t\r\n]{0,2}";
    let rate = prop_oneof![Just(None), (1_u64..=768_000).prop_map(Some)];
    let pcm = prop::collection::vec(any::<u8>(), 0..200);
    (pcm, rate, white_space, 0..3, any::<[bool; 6]>()).prop_map(
        |(pcm, rate, space, role, [url_safe, padded, upper, escape_equals, escape_rest, data_first])| {
            let mut text = naive_encode(&pcm, if url_safe { URL_SAFE } else { STANDARD });
            if !padded {
                text.truncate(text.trim_end_matches('=').len());
            }
            let mut mime_type = rate.map_or("audio/pcm".to_owned(), |rate| format!("audio/pcm;rate={rate}"));
            for string in [&mut text, &mut mime_type] {
                if escape_rest {
                    *string = string.replace('+', if upper { r"\u002B" } else { r"\u002b" });
                    *string = string.replace('/', if upper { r"\/" } else { r"\u002f" });
                }
                if escape_equals {
                    *string = string.replace('=', if upper { r"\u003D" } else { r"\u003d" });
                }
            }
            let mut members = [format!(r#""mimeType":~"{mime_type}""#), format!(r#""data"~:"{text}""#)];
            if data_first {
                members.reverse();
            }
            let before = if role == 1 { r#""role"~:~"model"~,~"# } else { "" };
            let after = if role == 2 { r#"~,~"role"~:~"model""# } else { "" };
            let message = format!(
                r#"~{{~"serverContent"~:~{{~"modelTurn"~:~{{~{before}"parts"~:~[~{{~"inlineData":~{{~{}~,~{}~}}~}}~]{after}~}}~}}~}}~"#,
                members[0], members[1]
            );
            (message.replace('~', &space), pcm, rate.unwrap_or(24_000))
        },
    )
}

#[derive(Clone, Debug)]
enum Mutation {
    Replace(u8),
    Insert(u8),
    Remove,
    Duplicate(usize),
    Truncate,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    // JSON's own characters are where parsers differ.
    let byte = prop_oneof![
        prop::sample::select(&b"{}[]:,\"\\ \n=+/-_u0aA"[..]),
        any::<u8>()
    ];
    prop_oneof![
        byte.clone().prop_map(Mutation::Replace),
        byte.prop_map(Mutation::Insert),
        Just(Mutation::Remove),
        (1_usize..40).prop_map(Mutation::Duplicate),
        Just(Mutation::Truncate),
    ]
}

fn mutate(message: &mut Vec<u8>, mutation: &Mutation, index: prop::sample::Index) {
    if message.is_empty() {
        return;
    }
    let at = index.index(message.len());
    match mutation {
        Mutation::Replace(byte) => message[at] = *byte,
        Mutation::Insert(byte) => message.insert(at, *byte),
        Mutation::Remove => drop(message.remove(at)),
        Mutation::Duplicate(length) => {
            let end = message.len().min(at + length);
            let piece = message[at..end].to_vec();
            drop(message.splice(at..at, piece));
        }
        Mutation::Truncate => message.truncate(at),
    }
}

/// Encode `samples` in blocks that end at the given places; the payloads, one after the other, and what was defective.
fn encode_split<T: Sample>(
    samples: &[T],
    channels: usize,
    chunk: u32,
    ends: &[usize],
) -> (Vec<u8>, Defects) {
    encode_split_at(16_000, samples, channels, chunk, ends)
}

fn encode_split_at<T: Sample>(
    rate_hz: u32,
    samples: &[T],
    channels: usize,
    chunk: u32,
    ends: &[usize],
) -> (Vec<u8>, Defects) {
    let mut encoder = Encoder::new(rate_hz, chunk).expect("in range");
    let mut pcm = Vec::new();
    let mut payload = |frame: &[u8]| {
        let (kind, message) = unmask(frame).expect("one whole masked frame");
        assert_eq!(kind, opcode::TEXT);
        let message: Value = serde_json::from_slice(&message).expect("a message is JSON");
        let text = message["realtimeInput"]["audio"]["data"]
            .as_str()
            .expect("a message has data");
        pcm.extend(naive_decode(text).expect("data is base64"));
    };
    let mut ends: Vec<usize> = ends
        .iter()
        .map(|end| end % (samples.len() / channels + 1))
        .collect();
    ends.extend([0, samples.len() / channels]);
    ends.sort_unstable();
    for piece in ends.windows(2) {
        let block = &samples[piece[0] * channels..piece[1] * channels];
        let block = Interleaved::new(block, channels).expect("whole samples");
        let mut out = vec![0; encoder.messages(piece[1] - piece[0]) * encoder.frame_bytes()];
        let messages = encoder
            .encode_into(&block, &mut out)
            .expect("room was counted");
        assert_eq!(messages * encoder.frame_bytes(), out.len());
        out.chunks(encoder.frame_bytes()).for_each(&mut payload);
    }
    let last = encoder
        .flush(|message| {
            let mut out = vec![0; message.frame_bytes()];
            let key = mask::new_key().expect("entropy");
            message.write_frame(key, &mut out).map(|_| out)
        })
        .expect("room was counted");
    if let Some(frame) = last {
        payload(&frame);
    }
    assert_eq!(encoder.pending_samples(), 0);
    (pcm, encoder.defects())
}

/// The table of `pcm` in the standard library's words.
fn rounded(mean: f64, silence: f64, scale: f64) -> i16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates and makes 0 of NaN, as is specified"
    )]
    {
        ((mean - silence) * scale).round_ties_even() as i16
    }
}

proptest! {
    #[test]
    fn base64_is_as_spelled_out(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let expected = naive_encode(&bytes, STANDARD);
        let mut text = vec![0; base64::encoded_len(bytes.len())];
        prop_assert_eq!(base64::encode(&bytes, &mut text), Ok(text.len()));
        prop_assert_eq!(&text, expected.as_bytes());
        let other = naive_encode(&bytes, URL_SAFE);
        for text in [expected.as_str(), expected.trim_end_matches('='), other.as_str(), other.trim_end_matches('=')] {
            prop_assert_eq!(decode(text.as_bytes()), Some(bytes.clone()), "{}", text);
        }
    }

    #[test]
    fn what_is_not_base64_is_refused(text in "[AQgwx/+_=9-]{0,12}|[A-Za-z0-9+/]{60,140}[=_ ]{0,3}|\\PC{0,8}") {
        prop_assert_eq!(decode(text.as_bytes()), naive_decode(&text));
    }

    #[test]
    fn hot_messages_are_recognised((message, pcm, rate_hz) in hot_message()) {
        let expected = Some((pcm, rate_hz));
        prop_assert_eq!(&recognise(message.as_bytes()), &expected, "{}", message);
        prop_assert_eq!(&parse(message.as_bytes()), &expected, "{}", message);
    }

    #[test]
    fn what_is_recognised_is_what_a_parser_finds(
        (message, _, _) in hot_message(),
        mutations in prop::collection::vec((mutation(), any::<prop::sample::Index>()), 1..4),
    ) {
        let mut message = message.into_bytes();
        for (mutation, index) in &mutations {
            mutate(&mut message, mutation, *index);
        }
        let recognised = recognise(&message);
        if recognised.is_some() {
            prop_assert_eq!(recognised, parse(&message), "{}", String::from_utf8_lossy(&message));
        }
    }

    #[test]
    fn noise_is_left_alone(message in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(recognise(&message), None);
    }

    #[test]
    fn any_split_gives_the_same_stream(
        samples in prop::collection::vec(any::<f32>(), 0..300),
        channels in 1_usize..4,
        chunk in 1_u32..50,
        ends in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let samples = &samples[..samples.len() / channels * channels];
        let whole = encode_split(samples, channels, chunk, &[]);
        prop_assert_eq!(encode_split(samples, channels, chunk, &ends), whole.clone());
        prop_assert_eq!(whole.0.len(), samples.len() / channels * 2);
    }

    #[test]
    fn any_split_gives_the_same_stream_at_any_rate(
        rate_hz in prop_oneof![Just(8_000), Just(44_100), Just(48_000), 8_000_u32..=192_000],
        samples in prop::collection::vec(prop_oneof![any::<f32>(), -1.0_f32..1.0], 0..900),
        channels in 1_usize..4,
        chunk in 1_u32..400,
        ends in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let samples = &samples[..samples.len() / channels * channels];
        let whole = encode_split_at(rate_hz, samples, channels, chunk, &[]);
        prop_assert_eq!(encode_split_at(rate_hz, samples, channels, chunk, &ends), whole.clone());
        let expected = (samples.len() / channels * 16_000).div_ceil(rate_hz as usize);
        prop_assert_eq!(whole.0.len(), 2 * expected);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "few channels")]
    fn samples_are_as_the_table_says(
        floats in prop::collection::vec(prop_oneof![any::<f64>(), -1.1..1.1], 1..65),
        halves in prop::collection::vec(-70_000_i32..70_000, 1..65),
        integers in prop::collection::vec(any::<i32>(), 1..65),
        shorts in prop::collection::vec(any::<i16>(), 1..65),
        bytes in prop::collection::vec(any::<u8>(), 1..65),
    ) {
        fn one<T: Sample>(frame: &[T]) -> i16 {
            let (pcm, _) = encode_split(frame, frame.len(), 1, &[]);
            i16::from_le_bytes([pcm[0], pcm[1]])
        }
        fn mean<T: Sample>(frame: &[T]) -> f64 {
            frame.iter().fold(0.0, |sum, sample| sum + sample.widen()) / frame.len() as f64
        }
        let halves: Vec<f64> = halves.into_iter().map(|half| f64::from(half) / 65_536.0).collect();
        prop_assert_eq!(one(&floats), rounded(mean(&floats), 0.0, 32_768.0));
        prop_assert_eq!(one(&halves), rounded(mean(&halves), 0.0, 32_768.0));
        for sample in halves {
            #[expect(clippy::cast_possible_truncation, reason = "17 bits fit")]
            let short = sample as f32;
            prop_assert_eq!(one(&[short]), rounded(sample, 0.0, 32_768.0));
        }
        prop_assert_eq!(one(&integers), rounded(mean(&integers), 0.0, 1.0 / 65_536.0));
        prop_assert_eq!(one(&shorts), rounded(mean(&shorts), 0.0, 1.0));
        prop_assert_eq!(one(&bytes), rounded(mean(&bytes), 128.0, 256.0));
    }
}
