//! What is measured of the core, and the published crate `gemini-live` doing the same.
//!
//! Every case gives its result back, so that it can be compared before anything is timed.

use gemini_live::audio::{AudioEncoder, INPUT_AUDIO_MIME};
use gemini_live::codec;
use gemini_live::types::{Blob, ClientMessage, RealtimeInput, ServerEvent};
use gemini_live_core::decode::ModelAudio;
use gemini_live_core::encoder::Encoder;
use gemini_live_core::envelope::Envelope;
use gemini_live_core::pcm::Interleaved;
use gemini_live_core::{base64, mask, websocket};

/// 20 ms of 16 kHz.
pub const CHUNK_SAMPLES: usize = 320;
/// 40 ms of 24 kHz, 16 bits each.
pub const MESSAGE_BYTES: usize = 1_920;
/// An image as a camera gives it once a second.
pub const IMAGE_BYTES: usize = 100_000;

/// Noise, always the same (xorshift32).
#[must_use]
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect()
}

/// 16-bit samples out of noise.
#[must_use]
pub fn samples(count: usize) -> Vec<i16> {
    noise(2 * count)
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// Float samples out of noise, ±1.
#[must_use]
pub fn floats(count: usize) -> Vec<f32> {
    samples(count)
        .into_iter()
        .map(|sample| f32::from(sample) / 32_768.0)
        .collect()
}

/// The server message around 40 ms of audio.
#[must_use]
pub fn server_message() -> String {
    use ::base64::Engine as _;
    let text = ::base64::engine::general_purpose::STANDARD.encode(noise(MESSAGE_BYTES));
    format!(
        r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm;rate=24000","data":"{text}"}}}}]}}}}}}"#
    )
}

/// The core's encoder with its samples and a frame to write to.
pub struct CoreEncode<T> {
    encoder: Encoder,
    block: Vec<T>,
    channels: usize,
    frame: Vec<u8>,
}

impl<T: gemini_live_core::pcm::Sample> CoreEncode<T> {
    /// For blocks of one chunk.
    ///
    /// # Panics
    ///
    /// If the block does not consist of whole frames.
    #[must_use]
    pub fn new(block: Vec<T>, channels: usize) -> Self {
        let chunk_samples = u32::try_from(block.len() / channels).expect("a chunk is short");
        let encoder = Encoder::new(16_000, chunk_samples).expect("in range");
        let frame = vec![0; encoder.frame_bytes()];
        Self {
            encoder,
            block,
            channels,
            frame,
        }
    }

    /// Samples to a masked frame.
    ///
    /// # Panics
    ///
    /// If the core has a fault.
    pub fn run(&mut self) -> &[u8] {
        let block = Interleaved::new(&self.block, self.channels).expect("whole frames");
        let written = self.encoder.encode_into(&block, &mut self.frame);
        assert_eq!(written, Ok(1));
        &self.frame
    }
}

/// The core's image message.
pub struct CoreImage {
    envelope: Envelope,
    image: Vec<u8>,
    frame: Vec<u8>,
}

impl Default for CoreImage {
    fn default() -> Self {
        let envelope = Envelope::video("image/jpeg").expect("a MIME type");
        let frame = vec![0; envelope.frame_bytes(IMAGE_BYTES)];
        Self {
            envelope,
            image: noise(IMAGE_BYTES),
            frame,
        }
    }
}

impl CoreImage {
    /// An image to a masked frame.
    ///
    /// # Panics
    ///
    /// If the core has a fault.
    pub fn run(&mut self) -> &[u8] {
        let key = mask::new_key().expect("entropy");
        let written = self.envelope.write_frame(&self.image, key, &mut self.frame);
        assert_eq!(written, Ok(self.frame.len()));
        &self.frame
    }
}

/// The core's reading of a message; `pcm` is as long as the audio.
///
/// # Panics
///
/// If the core has a fault.
pub fn core_decode(message: &[u8], pcm: &mut [u8]) -> u32 {
    let audio = ModelAudio::recognise(message).expect("the hot message");
    assert_eq!(audio.write_pcm(pcm), Some(MESSAGE_BYTES));
    audio.rate_hz()
}

/// The payload of a client frame.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn unmask(frame: &[u8]) -> Vec<u8> {
    websocket::unmask(frame).expect("a client frame").1
}

/// The published crate's fastest way, as its documentation has it: an encoder that is kept, then serde.
///
/// # Panics
///
/// If the crate has a fault.
pub fn crate_encode(encoder: &mut AudioEncoder, pcm: &[u8]) -> String {
    crate_message(encoder.encode_i16_le(pcm).to_owned())
}

/// The same from float samples.
///
/// # Panics
///
/// If the crate has a fault.
pub fn crate_encode_floats(encoder: &mut AudioEncoder, samples: &[f32]) -> String {
    crate_message(encoder.encode_f32(samples).to_owned())
}

fn crate_message(data: String) -> String {
    codec::encode(&ClientMessage::RealtimeInput(RealtimeInput {
        audio: Some(Blob {
            data,
            mime_type: INPUT_AUDIO_MIME.into(),
        }),
        ..Default::default()
    }))
    .expect("serializable")
}

/// The published crate's way from a message to samples.
///
/// # Panics
///
/// If the crate has a fault.
#[must_use]
pub fn crate_decode(message: &str) -> Vec<u8> {
    let mut events = codec::into_events(codec::decode(message).expect("a message"));
    match events.pop() {
        Some(ServerEvent::ModelAudio(pcm)) if events.is_empty() => pcm,
        other => panic!("{other:?}"),
    }
}

/// Base64 of the core into `text`, which is long enough.
///
/// # Panics
///
/// If it is not.
pub fn core_base64(bytes: &[u8], text: &mut [u8]) {
    base64::encode(bytes, text).expect("long enough");
}

/// Assert that both give the same; nothing is measured before.
///
/// # Panics
///
/// If they do not.
pub fn check() {
    use ::base64::Engine as _;
    let block = samples(CHUNK_SAMPLES);
    let pcm: Vec<u8> = block
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let frame = unmask(CoreEncode::new(block, 1).run());
    let theirs = crate_encode(&mut AudioEncoder::new(), &pcm);
    // the order of the two keys is a matter of taste
    let ours: serde_json::Value = serde_json::from_slice(&frame).expect("JSON");
    let theirs: serde_json::Value = serde_json::from_str(&theirs).expect("JSON");
    assert_eq!(ours, theirs);

    let message = server_message();
    let mut out = vec![0; MESSAGE_BYTES];
    assert_eq!(core_decode(message.as_bytes(), &mut out), 24_000);
    assert_eq!(out, noise(MESSAGE_BYTES));
    assert_eq!(out, crate_decode(&message));

    let image: serde_json::Value =
        serde_json::from_slice(&unmask(CoreImage::default().run())).expect("JSON");
    let data = ::base64::engine::general_purpose::STANDARD.encode(noise(IMAGE_BYTES));
    let video = serde_json::json!({"mimeType": "image/jpeg", "data": data});
    assert_eq!(
        image,
        serde_json::json!({"realtimeInput": {"video": video}})
    );
}
