//! Cuts blocks of any size into chunks of one size, each written as a message in a WebSocket frame.
//!
//! All buffers are made with the encoder, so encoding allocates nothing. An encoding that fails in the middle leaves the
//! encoder as it was: what is carried over is replaced only at the end.

use crate::base64::TooSmall;
use crate::envelope::Envelope;
use crate::mask::{self, Key, NoEntropy};
use crate::pcm::{Block, Defects, SAMPLE_BYTES};

/// The highest rate, and the longest chunk: a second at it. Bounds the memory of an encoder, too.
pub const MAX_RATE_HZ: u32 = 768_000;

/// Samples in, messages out.
#[derive(Debug)]
pub struct Encoder {
    envelope: Envelope,
    rate_hz: u32,
    /// A whole chunk in the making.
    chunk: Box<[u8]>,
    /// As long as `chunk`, of which `carried` bytes are waiting for the rest of their chunk.
    carry: Box<[u8]>,
    carried: usize,
    defects: Defects,
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
    /// `None` if the rate or the chunk size is not in 1 to [`MAX_RATE_HZ`].
    #[must_use]
    pub fn new(rate_hz: u32, chunk_samples: u32) -> Option<Self> {
        let accepted = 1..=MAX_RATE_HZ;
        if !accepted.contains(&rate_hz) || !accepted.contains(&chunk_samples) {
            return None;
        }
        let chunk_bytes = usize::try_from(chunk_samples).ok()? * SAMPLE_BYTES; // at most 1.5 MB
        Some(Self {
            envelope: Envelope::audio(rate_hz),
            rate_hz,
            chunk: vec![0; chunk_bytes].into(),
            carry: vec![0; chunk_bytes].into(),
            carried: 0,
            defects: Defects::default(),
        })
    }

    /// Samples per second.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Samples of one chunk.
    #[must_use]
    pub fn chunk_samples(&self) -> usize {
        self.chunk.len() / SAMPLE_BYTES
    }

    /// Exact length of the frame of a whole chunk.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.envelope.frame_bytes(self.chunk.len())
    }

    /// Samples carried over, less than a chunk.
    #[must_use]
    pub fn pending_samples(&self) -> usize {
        self.carried / SAMPLE_BYTES
    }

    /// What could not be represented since the beginning.
    #[must_use]
    pub fn defects(&self) -> Defects {
        self.defects
    }

    /// How many messages a block of so many samples gives now.
    #[must_use]
    pub fn messages(&self, samples: usize) -> usize {
        // No block is so long that the sum saturates.
        self.pending_samples().saturating_add(samples) / self.chunk_samples()
    }

    /// Take a block and hand the message of each chunk that it completes to `sink`, oldest first.
    ///
    /// # Errors
    ///
    /// The first error of `sink`; the block was then not taken.
    pub fn encode<E>(
        &mut self,
        block: &impl Block,
        mut sink: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut defects = Defects::default();
        let mut carried = self.carried;
        let mut taken = 0;
        for _ in 0..self.messages(block.samples()) {
            // `carried` is less than a chunk, and both buffers are as long as one.
            let (head, tail) = self.chunk.split_at_mut(carried);
            head.copy_from_slice(&self.carry[..carried]);
            defects += block.read(taken, tail);
            taken += tail.len() / SAMPLE_BYTES;
            carried = 0;
            sink(Message {
                envelope: &self.envelope,
                pcm: &self.chunk,
            })?;
        }
        // What is left together with what is still carried does not fill a chunk: `messages` has counted.
        let end = carried + (block.samples() - taken) * SAMPLE_BYTES;
        defects += block.read(taken, &mut self.carry[carried..end]);
        self.carried = end;
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

    /// Hand the message of what is carried over to `sink`, if anything is, and start anew.
    ///
    /// # Errors
    ///
    /// The error of `sink`; what is carried over was then kept.
    pub fn flush<T, E>(
        &mut self,
        sink: impl FnOnce(Message<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        if self.carried == 0 {
            return Ok(None);
        }
        let flushed = sink(Message {
            envelope: &self.envelope,
            pcm: &self.carry[..self.carried], // never more than its length
        })?;
        self.carried = 0;
        Ok(Some(flushed))
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
            (0, 1),
            (1, 0),
            (768_001, 1),
            (1, 768_001),
            (u32::MAX, u32::MAX),
        ] {
            assert!(Encoder::new(rate_hz, chunk_samples).is_none());
        }
        assert!(Encoder::new(768_000, 768_000).is_some());
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
