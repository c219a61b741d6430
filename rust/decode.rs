//! Recognises the server message that comes all the time, one piece of model audio, without parsing JSON.
//!
//! ```text
//! {"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"…"}}]}}}
//! ```
//!
//! Only this skeleton is accepted, because a search for `"data":` alone would also match inside the arguments of a tool
//! call or an image part. What may vary: white space between tokens, the order of `mimeType` and `data`, an optional
//! `"role":"model"` on either side of `parts`, and `=`, `+`, `/` as JSON escapes. The latter are real: Java's Gson
//! escapes for HTML and writes `=` as `\u003d` (protobuf issues 7273 and 15458).
//!
//! Everything else is `None` and is parsed in full by the caller. No input panics.

use std::borrow::Cow;

use memchr::memchr2;

use crate::base64;

/// The content of a JSON string: what stands in the message, or a copy if something was escaped.
type Content<'a> = Cow<'a, [u8]>;

/// The rate of the Live API's audio output, for a MIME type that states none.
const DEFAULT_RATE_HZ: u32 = 24_000;

/// No sound card goes higher; a larger number is not a rate.
const MAX_RATE_HZ: u32 = 768_000;

/// A piece of model audio, still as base64 (which may turn out to be none).
#[derive(Debug)]
pub struct ModelAudio<'a> {
    text: Content<'a>,
    rate_hz: u32,
}

impl<'a> ModelAudio<'a> {
    /// Recognise `message`, or return `None` for anything but the skeleton.
    #[must_use]
    pub fn recognise(message: &'a [u8]) -> Option<Self> {
        let mut scan = Scan { rest: message };
        scan.tokens([
            b"{",
            br#""serverContent""#,
            b":",
            b"{",
            br#""modelTurn""#,
            b":",
            b"{",
        ])?;
        let role_first = scan.role();
        if role_first {
            scan.token(b",")?;
        }
        scan.tokens([
            br#""parts""#,
            b":",
            b"[",
            b"{",
            br#""inlineData""#,
            b":",
            b"{",
        ])?;
        let (mime_type, text) = scan.blob()?;
        scan.tokens([b"}", b"}", b"]"])?;
        if !role_first && scan.token(b",").is_some() {
            scan.role().then_some(())?;
        }
        scan.tokens([b"}", b"}", b"}"])?;
        scan.white_space();
        if !scan.rest.is_empty() {
            return None;
        }
        let rate_hz = rate_of(&mime_type)?;
        Some(Self { text, rate_hz })
    }

    /// Samples per second.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Exact number of bytes of the samples, or `None` if the text cannot be base64.
    #[must_use]
    pub fn pcm_bytes(&self) -> Option<usize> {
        base64::decoded_len(&self.text)
    }

    /// Write the samples to the front of `out`; see [`base64::decode`].
    pub fn write_pcm(&self, out: &mut [u8]) -> Option<usize> {
        base64::decode(&self.text, out)
    }
}

/// `audio/pcm` or `audio/pcm;rate=N`. Any other spelling is left to the caller.
fn rate_of(mime_type: &[u8]) -> Option<u32> {
    let parameters = mime_type.strip_prefix(b"audio/pcm")?;
    if parameters.is_empty() {
        return Some(DEFAULT_RATE_HZ);
    }
    let digits = parameters.strip_prefix(b";rate=")?;
    // Six digits hold every rate and cannot overflow; a leading zero is not how a number is written.
    if !(1..=6).contains(&digits.len())
        || digits.starts_with(b"0")
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let rate_hz = digits
        .iter()
        .fold(0, |rate_hz, digit| rate_hz * 10 + u32::from(digit - b'0'));
    (rate_hz <= MAX_RATE_HZ).then_some(rate_hz)
}

/// What of the message is still to be read.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// RFC 8259 §2.
    fn white_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Step over `token` and the white space before it.
    fn token(&mut self, token: &[u8]) -> Option<()> {
        self.white_space();
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn tokens<const N: usize>(&mut self, tokens: [&[u8]; N]) -> Option<()> {
        tokens.into_iter().try_for_each(|token| self.token(token))
    }

    /// Step over `"role":"model"` if it is next; if not, stay.
    fn role(&mut self) -> bool {
        let before = self.rest;
        let found = self.tokens([br#""role""#, b":", br#""model""#]).is_some();
        if !found {
            self.rest = before;
        }
        found
    }

    /// The two members of a blob in either order; return MIME type and text.
    fn blob(&mut self) -> Option<(Content<'a>, Content<'a>)> {
        if self.token(br#""mimeType""#).is_some() {
            self.token(b":")?;
            let mime_type = self.string()?;
            self.tokens([b",", br#""data""#, b":"])?;
            Some((mime_type, self.string()?))
        } else {
            self.tokens([br#""data""#, b":"])?;
            let text = self.string()?;
            self.tokens([b",", br#""mimeType""#, b":"])?;
            Some((self.string()?, text))
        }
    }

    /// A string with no escapes but those of `=`, `+`, `/`. Its other bytes are for the caller to judge: a base64 text
    /// and a MIME type have neither control characters nor anything beyond ASCII, so JSON's own rules need no check.
    fn string(&mut self) -> Option<Content<'a>> {
        self.token(b"\"")?;
        let (head, escaped) = self.until_quote_or_escape()?;
        if !escaped {
            return Some(Cow::Borrowed(head));
        }
        let mut unescaped = Vec::with_capacity(head.len() + self.rest.len());
        unescaped.extend_from_slice(head);
        loop {
            unescaped.push(self.escape()?);
            let (head, escaped) = self.until_quote_or_escape()?;
            unescaped.extend_from_slice(head);
            if !escaped {
                return Some(Cow::Owned(unescaped));
            }
        }
    }

    /// Step over what comes before the next `"` or `\` and over that byte; say whether it was the latter.
    fn until_quote_or_escape(&mut self) -> Option<(&'a [u8], bool)> {
        let end = memchr2(b'"', b'\\', self.rest)?;
        let (head, tail) = self.rest.split_at_checked(end)?;
        let (stop, rest) = tail.split_first()?;
        self.rest = rest;
        Some((head, *stop == b'\\'))
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<u8> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match kind {
            b'/' => Some(b'/'),
            b'u' => {
                let (code, rest) = self.rest.split_at_checked(4)?;
                self.rest = rest;
                match code {
                    b"003d" | b"003D" => Some(b'='),
                    b"002b" | b"002B" => Some(b'+'),
                    b"002f" | b"002F" => Some(b'/'),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(message: &str) -> Option<(Vec<u8>, u32)> {
        let audio = ModelAudio::recognise(message.as_bytes())?;
        let mut pcm = vec![0; audio.pcm_bytes()?];
        audio.write_pcm(&mut pcm)?;
        Some((pcm, audio.rate_hz()))
    }

    fn with_blob(blob: &str) -> String {
        format!(r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{{blob}}}}}]}}}}}}"#)
    }

    fn with_mime_type(mime_type: &str) -> Option<u32> {
        audio(&with_blob(&format!(
            r#""mimeType":"{mime_type}","data":"AQI=""#
        )))
        .map(|(_, rate_hz)| rate_hz)
    }

    #[test]
    fn the_skeleton_and_its_variations() {
        let expected = Some((vec![1, 2], 24_000));
        let blob = r#""mimeType":"audio/pcm;rate=24000","data":"AQI=""#;
        assert_eq!(audio(&with_blob(blob)), expected);
        assert_eq!(
            audio(&with_blob(
                r#""data":"AQI","mimeType":"audio/pcm;rate=24000""#
            )),
            expected
        );
        assert_eq!(
            audio(&with_blob(
                r#""mimeType":"audio\/pcm;rate\u003d24000","data":"AQI\u003D""#
            )),
            expected
        );
        let spaced = "\n{\"serverContent\" :\t{ \"modelTurn\":{\"role\" : \"model\" , \"parts\":\r\n[ {\"inlineData\": { \
                      \"data\" : \"AQI=\" , \"mimeType\": \"audio/pcm;rate=24000\" } } ] } } } \n";
        assert_eq!(audio(spaced), expected);
        let role_last = format!(
            r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{{blob}}}}}],"role":"model"}}}}}}"#
        );
        assert_eq!(audio(&role_last), expected);
    }

    #[test]
    fn rates() {
        assert_eq!(with_mime_type("audio/pcm"), Some(24_000));
        assert_eq!(with_mime_type("audio/pcm;rate=16000"), Some(16_000));
        assert_eq!(with_mime_type("audio/pcm;rate=768000"), Some(768_000));
        for other in [
            "audio/pcm;rate=768001",
            "audio/pcm;rate=0",
            "audio/pcm;rate=024000",
            "audio/pcm;rate=",
            "audio/pcm;rate=-1",
            "audio/pcm;rate=+1",
            "audio/pcm;",
            "audio/pcm; rate=24000",
            "audio/pcm;rate=24000;x=1",
            "audio/pcmu",
            "audio/opus",
            "image/png",
            "",
            "audio/pcm;rate=99999999999999999999",
        ] {
            assert_eq!(with_mime_type(other), None, "{other}");
        }
    }

    /// Messages that a laxer scan would take for audio, or lose something of.
    #[test]
    fn everything_else_is_left_to_the_caller() {
        let blob = r#""mimeType":"audio/pcm","data":"AQI=""#;
        let good = with_blob(blob);
        let mut others: Vec<String> = (0..good.len()).map(|end| good[..end].to_owned()).collect();
        others.extend([
            format!("{good}x"),
            format!("\u{feff}{good}"),
            good.replace("]}", r#"],"role":"user"}"#),
            good.replace("]}", r#"],"role":"model","role":"model"}"#),
            good.replace(r#""parts""#, r#""role":"model","parts""#)
                .replace("]}", r#"],"role":"model"}"#),
            good.replace("]}}}", r#"]},"turnComplete":true}}"#),
            good.replace("]}}}", r#"]}},"usageMetadata":{}}"#),
            good.replace("]}}}", r"]}},}"),
            good.replace(']', &format!(r#",{{"inlineData":{{{blob}}}}}]"#)),
            good.replace("}]", r#","thought":true}]"#),
            good.replace("AQI=", "AQI").replace("AQI", r"AQ\u0049="),
            good.replace("AQI=", r"AQI\n="),
            good.replace("AQI=", "AQJ="),
            good.replace("AQI=", "AQI=="),
            good.replace("AQI=", r"AQI\u003"),
            good.replace("AQI=", r"AQI\"),
            with_blob(&format!("{blob},")),
            with_blob(r#""mimeType":"audio/pcm""#),
            with_blob(r#""data":"AQI=""#),
            with_blob(r#""data":"AQI=","data":"AQI=""#),
            with_blob(""),
        ]);
        for other in others {
            assert_eq!(audio(&other), None, "{other}");
        }
    }
}
