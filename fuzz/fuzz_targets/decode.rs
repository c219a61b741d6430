//! Whatever is recognised as audio is audio to a JSON parser too, with the same samples and the same rate.

#![no_main]

use gemini_live_core::decode::ModelAudio;
use gemini_live_fuzz::audio_of;
use libfuzzer_sys::fuzz_target;

/// What the hot path makes of a message.
fn recognised(message: &[u8]) -> Option<(Vec<u8>, u64)> {
    let audio = ModelAudio::recognise(message)?;
    let mut pcm = vec![0; audio.pcm_bytes()?];
    assert_eq!(audio.write_pcm(&mut pcm)?, pcm.len());
    Some((pcm, audio.rate_hz().into()))
}

// The other direction does not hold, and need not: what is left alone is parsed in full.
fuzz_target!(|message: &[u8]| {
    let found = recognised(message);
    if found.is_some() {
        assert_eq!(found, audio_of(message));
    }
});
