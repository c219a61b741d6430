//! Brings blocks of any size and rate to 16 kHz and cuts them into chunks of one size, each written as a message in a
//! WebSocket frame.
//!
//! All buffers are made with the encoder, so encoding allocates nothing. An encoding that fails in the middle leaves the
//! encoder as it was: what is carried over is replaced only at the end.

use crate::base64::TooSmall;
use crate::envelope::Envelope;
use crate::mask::{self, Key, NoEntropy};
use crate::pcm::{Block, Defects, SAMPLE_BYTES};
use crate::resample::{Resampler, Source};

/// The rate of all chunks: the service's own. It would resample others, where nobody could measure how.
pub const CHUNK_RATE_HZ: u32 = 16_000;

/// The longest chunk, a second. Bounds the memory of an encoder.
pub const MAX_CHUNK_SAMPLES: u32 = 16_000;

/// Samples in, messages out.
#[derive(Debug)]
pub struct Encoder {
    rate_hz: u32,
    /// Unless the blocks have the rate of the chunks.
    conversion: Option<Conversion>,
    cutter: Cutter,
    defects: Defects,
}

#[derive(Debug)]
struct Conversion {
    resampler: Resampler,
    /// As it was before the block at hand, should that fail.
    before: Resampler,
}

#[derive(Debug)]
struct Cutter {
    envelope: Envelope,
    /// A whole chunk in the making.
    chunk: Box<[u8]>,
    /// Of which `carried` bytes, less than a chunk, are waiting for the rest of theirs. There is room for as many, and
    /// for what a resampler holds back.
    carry: Box<[u8]>,
    carried: usize,
}

impl Cutter {
    /// Hand the messages of so many samples, which `read` supplies, to `sink`; then keep what does not fill a chunk.
    ///
    /// After an error the cutter is as it was before.
    fn cut<E>(
        &mut self,
        samples: usize,
        mut read: impl FnMut(&mut [u8]),
        mut sink: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut carried = self.carried;
        let mut left = samples * SAMPLE_BYTES;
        while carried + left >= self.chunk.len() {
            let (head, tail) = self.chunk.split_at_mut(carried);
            head.copy_from_slice(&self.carry[..carried]);
            read(tail);
            left -= tail.len();
            carried = 0;
            sink(Message {
                envelope: &self.envelope,
                pcm: &self.chunk,
            })?;
        }
        read(&mut self.carry[carried..carried + left]);
        self.carried = carried + left;
        Ok(())
    }
}

/// One message that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    envelope: &'a Envelope,
    pcm: &'a [u8],
}

impl Message<'_> {
    /// Exact length of its frame in bytes.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.envelope.frame_bytes(self.pcm.len())
    }

    /// Write its frame to the front of `out` and return the length.
    ///
    /// # Errors
    ///
    /// [`TooSmall`] if `out` is shorter than [`Self::frame_bytes`].
    pub fn write_frame(&self, key: Key, out: &mut [u8]) -> Result<usize, TooSmall> {
        self.envelope.write_frame(self.pcm, key, out)
    }
}

/// Why [`Encoder::encode_into`] has not taken a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The frames do not fit.
    TooSmall(TooSmall),
    /// There is nothing to mask them with.
    NoEntropy(NoEntropy),
}

impl From<TooSmall> for NotTaken {
    fn from(error: TooSmall) -> Self {
        Self::TooSmall(error)
    }
}

impl From<NoEntropy> for NotTaken {
    fn from(error: NoEntropy) -> Self {
        Self::NoEntropy(error)
    }
}

impl Encoder {
    /// `None` if the rate is not one that a [`Resampler`] takes, or the chunk size not in 1 to [`MAX_CHUNK_SAMPLES`].
    #[must_use]
    pub fn new(rate_hz: u32, chunk_samples: u32) -> Option<Self> {
        if !(1..=MAX_CHUNK_SAMPLES).contains(&chunk_samples) {
            return None;
        }
        let resampler = Resampler::new(rate_hz, CHUNK_RATE_HZ)?;
        let chunk_bytes = usize::try_from(chunk_samples).ok()? * SAMPLE_BYTES;
        let carry_bytes = chunk_bytes + resampler.longest_tail() * SAMPLE_BYTES;
        Some(Self {
            rate_hz,
            conversion: (rate_hz != CHUNK_RATE_HZ).then(|| Conversion {
                before: resampler.clone(),
                resampler,
            }),
            cutter: Cutter {
                envelope: Envelope::audio(CHUNK_RATE_HZ),
                chunk: vec![0; chunk_bytes].into(),
                carry: vec![0; carry_bytes].into(),
                carried: 0,
            },
            defects: Defects::default(),
        })
    }

    /// Samples per second of the blocks.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Samples of one chunk.
    #[must_use]
    pub fn chunk_samples(&self) -> usize {
        self.cutter.chunk.len() / SAMPLE_BYTES
    }

    /// Exact length of the frame of a whole chunk.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.cutter.envelope.frame_bytes(self.cutter.chunk.len())
    }

    /// Samples that a [`Self::flush`] would give: those that are carried over, less than a chunk, and those that the
    /// resampler holds back, less than 3 ms.
    #[must_use]
    pub fn pending_samples(&self) -> usize {
        let held_back = self.conversion.as_ref().map_or(0, |it| it.resampler.tail());
        self.cutter.carried / SAMPLE_BYTES + held_back
    }

    /// How long the resampler holds a sample back.
    #[must_use]
    pub fn delay_s(&self) -> f64 {
        self.conversion
            .as_ref()
            .map_or(0.0, |it| it.resampler.delay_s())
    }

    /// What could not be represented since the beginning.
    #[must_use]
    pub fn defects(&self) -> Defects {
        self.defects
    }

    /// How many messages a block of so many samples gives now.
    #[must_use]
    pub fn messages(&self, samples: usize) -> usize {
        let samples = match &self.conversion {
            None => samples,
            Some(conversion) => conversion.resampler.outputs(samples),
        };
        // No block is so long that the sum saturates.
        (self.cutter.carried / SAMPLE_BYTES).saturating_add(samples) / self.chunk_samples()
    }

    /// Take a block and hand the message of each chunk that it completes to `sink`, oldest first.
    ///
    /// # Errors
    ///
    /// The first error of `sink`; the block was then not taken.
    pub fn encode<E>(
        &mut self,
        block: &impl Block,
        sink: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut defects = Defects::default();
        if let Some(Conversion { resampler, before }) = &mut self.conversion {
            before.assume(resampler);
            let outputs = resampler.outputs(block.samples());
            let mut source = Source::new(resampler, block);
            let read = |pcm: &mut [u8]| defects += source.read(pcm);
            if let Err(error) = self.cutter.cut(outputs, read, sink) {
                resampler.assume(before);
                return Err(error);
            }
            defects += source.finish();
        } else {
            let mut taken = 0;
            let read = |pcm: &mut [u8]| {
                defects += block.read(taken, pcm);
                taken += pcm.len() / SAMPLE_BYTES;
            };
            self.cutter.cut(block.samples(), read, sink)?;
        }
        self.defects += defects;
        Ok(())
    }

    /// Like [`Self::encode`], with the frames back to back in `out`; return how many.
    ///
    /// # Errors
    ///
    /// [`NotTaken`] if `out` cannot hold all of them, or they cannot be masked.
    pub fn encode_into(
        &mut self,
        block: &impl Block,
        mut out: &mut [u8],
    ) -> Result<usize, NotTaken> {
        let messages = self.messages(block.samples());
        let needed = messages.saturating_mul(self.frame_bytes());
        let given = out.len();
        if given < needed {
            return Err(TooSmall { needed, given }.into());
        }
        self.encode(block, |message| {
            let written = message.write_frame(mask::new_key()?, out)?;
            out = std::mem::take(&mut out)
                .get_mut(written..)
                .unwrap_or_default();
            Ok::<_, NotTaken>(())
        })?;
        Ok(messages)
    }

    /// Hand the message of what is pending to `sink`, if anything is, and start anew.
    ///
    /// # Errors
    ///
    /// The error of `sink`; everything is then as it was.
    pub fn flush<T, E>(
        &mut self,
        sink: impl FnOnce(Message<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let Cutter {
            envelope,
            carry,
            carried,
            ..
        } = &mut self.cutter;
        let mut end = *carried;
        let mut defects = Defects::default();
        if let Some(Conversion { resampler, before }) = &mut self.conversion {
            before.assume(resampler);
            end += resampler.tail() * SAMPLE_BYTES;
            defects = resampler.flush(&mut carry[*carried..end]);
        }
        if end == 0 {
            return Ok(None);
        }
        let message = Message {
            envelope,
            pcm: &carry[..end],
        };
        match sink(message) {
            Ok(flushed) => {
                *carried = 0;
                self.defects += defects;
                Ok(Some(flushed))
            }
            Err(error) => {
                if let Some(Conversion { resampler, before }) = &mut self.conversion {
                    resampler.assume(before);
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::Interleaved;

    fn payloads(encoder: &mut Encoder, samples: &[i16]) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        let block = Interleaved::new(samples, 1).expect("mono");
        let result = encoder.encode(&block, |message| {
            payloads.push(message.pcm.to_vec());
            Ok::<_, ()>(())
        });
        assert_eq!(result, Ok(()));
        payloads
    }

    #[test]
    fn sizes_out_of_range() {
        for (rate_hz, chunk_samples) in [
            (7_999, 1),
            (16_000, 0),
            (192_001, 1),
            (16_000, 16_001),
            (u32::MAX, u32::MAX),
        ] {
            assert!(Encoder::new(rate_hz, chunk_samples).is_none());
        }
        assert!(Encoder::new(192_000, 16_000).is_some());
    }

    #[test]
    fn the_rest_is_carried_over_and_flushed() {
        let mut encoder = Encoder::new(16_000, 2).expect("in range");
        assert_eq!(payloads(&mut encoder, &[1]), Vec::<Vec<u8>>::new());
        assert_eq!(
            payloads(&mut encoder, &[2, 3, 4, 5]),
            [[1, 0, 2, 0], [3, 0, 4, 0]]
        );
        assert_eq!(encoder.pending_samples(), 1);
        assert_eq!(
            encoder.flush(|message| Ok::<_, ()>(message.pcm.to_vec())),
            Ok(Some(vec![5, 0]))
        );
        assert_eq!(
            encoder.flush(|message| Ok::<_, ()>(message.pcm.to_vec())),
            Ok(None)
        );
    }

    #[test]
    fn a_failure_takes_nothing() {
        let mut encoder = Encoder::new(16_000, 2).expect("in range");
        payloads(&mut encoder, &[1]);
        let block = [f32::NAN; 6];
        let block = Interleaved::new(&block, 1).expect("mono");
        let mut messages = 0;
        let result = encoder.encode(&block, |_| {
            messages += 1;
            if messages == 3 { Err("third") } else { Ok(()) }
        });
        assert_eq!(result, Err("third"));
        assert_eq!(encoder.defects(), Defects::default());
        assert_eq!(encoder.flush(|_| Err::<(), _>("flush")), Err("flush"));
        let needed = 3 * encoder.frame_bytes();
        let given = needed - 1;
        assert_eq!(
            encoder.encode_into(&block, &mut vec![0; given]),
            Err(TooSmall { needed, given }.into())
        );
        assert_eq!(payloads(&mut encoder, &[2]), [[1, 0, 2, 0]]);
    }

    /// The filter, too, is as it was: what comes afterwards is what another encoder gives that never failed.
    #[test]
    fn a_failure_of_another_rate_takes_nothing() {
        let ramp: Vec<i16> = (0..4_800).collect();
        let [mut failing, mut other] =
            [(); 2].map(|()| Encoder::new(48_000, 100).expect("in range"));
        assert_eq!(payloads(&mut failing, &ramp), payloads(&mut other, &ramp));
        for last in [1, 7, 16] {
            let mut messages = 0;
            let block = Interleaved::new(&[7_000_i16; 4_800], 1).expect("mono");
            let result = failing.encode(&block, |_| {
                messages += 1;
                if messages == last { Err(()) } else { Ok(()) }
            });
            assert_eq!(result, Err(()));
        }
        assert_eq!(failing.flush(|_| Err::<(), _>("flush")), Err("flush"));
        assert_eq!(failing.pending_samples(), other.pending_samples());
        assert_eq!(payloads(&mut failing, &ramp), payloads(&mut other, &ramp));
        let [one, two] = [failing, other]
            .map(|mut encoder| encoder.flush(|message| Ok::<_, ()>(message.pcm.to_vec())));
        assert_eq!(one, two);
    }

    #[test]
    fn a_second_is_a_second_at_any_rate() {
        for rate_hz in [8_000, 11_025, 16_000, 44_100, 47_999, 192_000] {
            let mut encoder = Encoder::new(rate_hz, 320).expect("in range");
            let second = vec![0_i16; rate_hz as usize];
            let mut samples = payloads(&mut encoder, &second).len() * 320;
            samples += encoder.pending_samples();
            assert_eq!(samples, 16_000, "{rate_hz}");
            let rest = encoder.flush(|message| Ok::<_, ()>(message.pcm.len()));
            let rest = rest.expect("no error").unwrap_or_default();
            assert_eq!(samples % 320 * SAMPLE_BYTES, rest % 640, "{rate_hz}");
            assert_eq!(encoder.pending_samples(), 0);
        }
    }

    #[test]
    fn defects_add_up() {
        let mut encoder = Encoder::new(16_000, 2).expect("in range");
        let block = Interleaved::new(&[f32::NAN, 2.0, -2.0], 1).expect("mono");
        for blocks in 1..=3 {
            assert_eq!(encoder.encode(&block, |_| Ok::<_, ()>(())), Ok(()));
            let (nan, clipped) = (blocks, 2 * blocks);
            assert_eq!(encoder.defects(), Defects { nan, clipped });
        }
    }
}
