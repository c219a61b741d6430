//! Around any payload, under any name that is taken for a MIME type, stands JSON that says exactly that, in a frame or not.

#![no_main]

use gemini_live_core::base64::TooSmall;
use gemini_live_core::envelope::Envelope;
use gemini_live_fuzz::{message_of, payload_of};
use libfuzzer_sys::fuzz_target;

fn check(envelope: &Envelope, payload: &[u8], stream: &str, mime_type: &str) {
    // in its frame; the key is whatever the payload begins with
    let key = payload.first_chunk().copied().unwrap_or_default();
    let needed = envelope.frame_bytes(payload.len());
    let mut frame = vec![b'?'; needed + 1];
    assert_eq!(envelope.write_frame(payload, key, &mut frame), Ok(needed));
    assert_eq!(frame.pop(), Some(b'?'), "not a byte more than was said");
    let framed = message_of(&frame);
    let given = needed - 1;
    let too_small = Err(TooSmall { needed, given });
    assert_eq!(
        envelope.write_frame(payload, key, &mut frame[..given]),
        too_small
    );

    // by itself
    let needed = envelope.message_bytes(payload.len());
    let mut out = vec![b'?'; needed + 1];
    assert_eq!(envelope.write(payload, &mut out), Ok(needed));
    assert_eq!(out.pop(), Some(b'?'), "not a byte more than was said");
    assert_eq!(payload_of(&out, stream, mime_type), payload);
    assert_eq!(framed, out);

    let given = needed - 1;
    let too_small = Err(TooSmall { needed, given });
    assert_eq!(envelope.write(payload, &mut out[..given]), too_small);
}

fuzz_target!(|input: &[u8]| {
    // a name, its length before it, and the payload
    let Some((length, rest)) = input.split_first() else {
        return;
    };
    let (name, payload) = rest.split_at(rest.len().min(usize::from(*length)));
    if let Ok(mime_type) = str::from_utf8(name)
        && let Some(envelope) = Envelope::video(mime_type)
    {
        check(&envelope, payload, "video", mime_type);
    }
    if let Some(bytes) = name.first_chunk() {
        let rate_hz = u32::from_le_bytes(*bytes);
        let mime_type = format!("audio/pcm;rate={rate_hz}");
        check(&Envelope::audio(rate_hz), payload, "audio", &mime_type);
    }
});
