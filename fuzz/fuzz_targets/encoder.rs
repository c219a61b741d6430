//! However a stream is cut into blocks, the same chunks come out, and nothing is lost.

#![no_main]

use gemini_live_core::encoder::Encoder;
use gemini_live_core::mask;
use gemini_live_core::pcm::{Defects, Interleaved, Sample};
use gemini_live_fuzz::{message_of, payload_of};
use libfuzzer_sys::fuzz_target;

const MIME_TYPE: &str = "audio/pcm;rate=16000";

/// Encode in blocks that end at these places; the payloads one after the other, and what was defective.
fn encoded<T: Sample>(
    rate_hz: u32,
    samples: &[T],
    channels: usize,
    chunk: u8,
    ends: &[usize],
) -> (Vec<u8>, Defects) {
    let mut encoder = Encoder::new(rate_hz, chunk.into()).expect("in range");
    let mut pcm = Vec::new();
    for piece in ends.windows(2) {
        let block = &samples[piece[0] * channels..piece[1] * channels];
        let block = Interleaved::new(block, channels).expect("whole samples");
        let messages = encoder.messages(piece[1] - piece[0]);
        let mut out = vec![0; messages * encoder.frame_bytes()];
        assert_eq!(encoder.encode_into(&block, &mut out), Ok(messages));
        for frame in out.chunks(encoder.frame_bytes()) {
            let chunk_pcm = payload_of(&message_of(frame), "audio", MIME_TYPE);
            assert_eq!(chunk_pcm.len(), 2 * encoder.chunk_samples());
            pcm.extend(chunk_pcm);
        }
    }
    let rest = encoder.flush(|message| {
        let mut out = vec![0; message.frame_bytes()];
        let key = mask::new_key().expect("entropy");
        message.write_frame(key, &mut out).map(|_| out)
    });
    if let Some(frame) = rest.expect("room was made") {
        pcm.extend(payload_of(&message_of(&frame), "audio", MIME_TYPE));
    }
    assert_eq!(encoder.pending_samples(), 0);
    (pcm, encoder.defects())
}

/// In pieces and in one, each sample as it must be.
fn check<T: Sample>(samples: &[T], channels: usize, chunk: u8, cuts: &[u8]) {
    let frames = samples.len() / channels;
    let samples = &samples[..frames * channels];
    let whole = encoded(16_000, samples, channels, chunk, &[0, frames]);
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|cut| usize::from(*cut) * frames / 255)
        .collect();
    ends.extend([0, frames]);
    ends.sort_unstable();
    assert_eq!(encoded(16_000, samples, channels, chunk, &ends), whole);
    for rate_hz in [8_000, 44_100, 47_999, 192_000] {
        let resampled = encoded(rate_hz, samples, channels, chunk, &[0, frames]);
        assert_eq!(encoded(rate_hz, samples, channels, chunk, &ends), resampled);
        assert_eq!(
            resampled.0.len(),
            (frames * 16_000).div_ceil(rate_hz as usize) * 2
        );
    }

    #[expect(clippy::cast_precision_loss, reason = "few channels")]
    let divisor = channels as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates and makes 0 of NaN, as is specified"
    )]
    let expected = samples.chunks_exact(channels).flat_map(|frame| {
        let sum = frame.iter().fold(0.0, |sum, sample| sum + sample.widen());
        let value = (sum / divisor - T::SILENCE) * T::SCALE;
        (value.round_ties_even() as i16).to_le_bytes()
    });
    assert_eq!(whole.0, expected.collect::<Vec<u8>>());
}

fuzz_target!(|input: &[u8]| {
    let [format, channels, chunk, cuts, stream @ ..] = input else {
        return;
    };
    let channels = usize::from(channels % 4) + 1;
    let chunk = (*chunk).max(1);
    let (cuts, stream) = stream.split_at(stream.len().min(usize::from(cuts % 8)));
    match format % 5 {
        0 => check(stream, channels, chunk, cuts),
        1 => {
            let (words, _) = stream.as_chunks();
            let samples: Vec<_> = words.iter().map(|word| i16::from_le_bytes(*word)).collect();
            check(&samples, channels, chunk, cuts);
        }
        2 => {
            let (words, _) = stream.as_chunks();
            let samples: Vec<_> = words.iter().map(|word| i32::from_le_bytes(*word)).collect();
            check(&samples, channels, chunk, cuts);
        }
        3 => {
            let (words, _) = stream.as_chunks();
            let samples: Vec<_> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            check(&samples, channels, chunk, cuts);
        }
        _ => {
            let (words, _) = stream.as_chunks();
            let samples: Vec<_> = words.iter().map(|word| f64::from_le_bytes(*word)).collect();
            check(&samples, channels, chunk, cuts);
        }
    }
});
