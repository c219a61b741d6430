//! The decoder takes exactly what is base64, and what is encoded is what is decoded.

#![no_main]

use gemini_live_core::base64::{decode, decoded_len, encode, encoded_len};
use gemini_live_fuzz::{base64_of, bytes_of};
use libfuzzer_sys::fuzz_target;

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; decoded_len(text)?];
    let length = decode(text, &mut out)?;
    assert_eq!(length, out.len(), "the length is known beforehand");
    Some(out)
}

fuzz_target!(|input: &[u8]| {
    assert_eq!(decoded(input), bytes_of(input), "taken as a text");

    let mut text = vec![0; encoded_len(input.len())];
    assert_eq!(encode(input, &mut text), Ok(text.len()));
    assert_eq!(text, base64_of(input).into_bytes(), "taken as bytes");
    assert_eq!(decoded(&text).as_deref(), Some(input));

    // room for all but one byte is no room
    if let Some(short) = text.len().checked_sub(1) {
        assert!(encode(input, &mut text[..short]).is_err());
    }
    if let Some(short) = decoded_len(input).and_then(|length| length.checked_sub(1)) {
        assert_eq!(decode(input, &mut vec![0; short]), None);
    }
});
