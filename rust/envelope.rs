//! The one message that is sent all the time: `realtimeInput` with one blob.
//!
//! ```text
//! {"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"…"}}}
//! {"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"…"}}}
//! ```
//!
//! All but the payload is fixed, so it is formatted once, its length is known beforehand, and a message is two copies
//! around a base64 text. It is written where it will be sent from: inside of a WebSocket frame.

use crate::base64::{self, TooSmall};
use crate::mask::Key;
use crate::websocket::{self, opcode};

const SUFFIX: &[u8] = br#""}}}"#;

/// Everything of a message that does not depend on its payload.
#[derive(Clone, Debug)]
pub struct Envelope {
    prefix: Vec<u8>,
}

impl Envelope {
    /// For 16-bit little-endian mono PCM.
    #[must_use]
    pub fn audio(rate_hz: u32) -> Self {
        Self::new("audio", &format!("audio/pcm;rate={rate_hz}"))
    }

    /// For an encoded image, or `None` if `mime_type` is not `type/subtype`, with or without parameters.
    #[must_use]
    pub fn video(mime_type: &str) -> Option<Self> {
        is_mime_type(mime_type).then(|| Self::new("video", mime_type))
    }

    /// `mime_type` must need no escaping in JSON.
    fn new(stream: &str, mime_type: &str) -> Self {
        Self {
            prefix: format!(
                r#"{{"realtimeInput":{{"{stream}":{{"mimeType":"{mime_type}","data":""#
            )
            .into_bytes(),
        }
    }

    /// Exact length of the message around `payload_bytes` bytes.
    #[must_use]
    pub fn message_bytes(&self, payload_bytes: usize) -> usize {
        // No slice is long enough to reach the saturation.
        base64::encoded_len(payload_bytes).saturating_add(self.prefix.len() + SUFFIX.len())
    }

    /// Write the message to the front of `out` and return its length.
    ///
    /// # Errors
    ///
    /// [`TooSmall`] if `out` is shorter than [`Self::message_bytes`].
    pub fn write(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, TooSmall> {
        let needed = self.message_bytes(payload.len());
        let given = out.len();
        let too_small = TooSmall { needed, given };
        let (prefix, rest) = out
            .split_at_mut_checked(self.prefix.len())
            .ok_or(too_small)?;
        let (text, rest) = rest
            .split_at_mut_checked(base64::encoded_len(payload.len()))
            .ok_or(too_small)?;
        let suffix = rest.get_mut(..SUFFIX.len()).ok_or(too_small)?;
        // Both copies are between slices cut to the same length above.
        prefix.copy_from_slice(&self.prefix);
        suffix.copy_from_slice(SUFFIX);
        base64::encode(payload, text)?;
        Ok(needed)
    }

    /// Exact length of the frame of the message around `payload_bytes` bytes.
    #[must_use]
    pub fn frame_bytes(&self, payload_bytes: usize) -> usize {
        websocket::frame_bytes(self.message_bytes(payload_bytes))
    }

    /// Write the message as a masked WebSocket frame to the front of `out` and return its length.
    ///
    /// # Errors
    ///
    /// [`TooSmall`] if `out` is shorter than [`Self::frame_bytes`].
    pub fn write_frame(&self, payload: &[u8], key: Key, out: &mut [u8]) -> Result<usize, TooSmall> {
        let needed = self.frame_bytes(payload.len());
        let given = out.len();
        let too_small = TooSmall { needed, given };
        let frame = out.get_mut(..needed).ok_or(too_small)?;
        let message_bytes = self.message_bytes(payload.len());
        let message = frame.get_mut(needed - message_bytes..).ok_or(too_small)?;
        self.write(payload, message)?;
        websocket::finish_frame(opcode::TEXT, key, message_bytes, frame).ok_or(too_small)?;
        Ok(needed)
    }
}

/// The characters of RFC 6838 §4.2 names, and those that join them. None of them needs escaping in JSON.
fn is_mime_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or(text);
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-/;=".contains(&byte))
        && essence.split_once('/').is_some_and(|(kind, subtype)| {
            !kind.is_empty() && !subtype.is_empty() && !subtype.contains('/')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(envelope: &Envelope, payload: &[u8]) -> String {
        let mut out = vec![0; envelope.message_bytes(payload.len())];
        assert_eq!(envelope.write(payload, &mut out), Ok(out.len()));
        String::from_utf8(out).expect("base64 in JSON is ASCII")
    }

    #[test]
    fn messages() {
        assert_eq!(
            message(&Envelope::audio(16_000), b"\x01\x02"),
            r#"{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"AQI="}}}"#
        );
        assert_eq!(
            message(
                &Envelope::video("image/jpeg").expect("a MIME type"),
                b"\xff\xd8\xff"
            ),
            r#"{"realtimeInput":{"video":{"mimeType":"image/jpeg","data":"/9j/"}}}"#
        );
    }

    #[test]
    fn short_slices_are_refused() {
        let envelope = Envelope::audio(16_000);
        let needed = envelope.message_bytes(2);
        for given in 0..needed {
            assert_eq!(
                envelope.write(b"\x01\x02", &mut vec![0; given]),
                Err(TooSmall { needed, given })
            );
        }
    }

    #[test]
    fn mime_types() {
        for good in [
            "image/jpeg",
            "image/svg+xml",
            "image/vnd.x-1",
            "image/png;q=1",
        ] {
            assert!(is_mime_type(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "image",
            "image/",
            "/png",
            "image/png/x",
            "image/png\"",
            "image/png\\",
            "image/ png",
            "im\u{e4}ge/png",
            ";image/png",
            "image/png\n",
        ] {
            assert!(!is_mime_type(bad), "{bad:?}");
        }
    }
}
