//! Sample formats to 16-bit little-endian mono, what the service takes.
//!
//! The exact value of a sample `y` from its channels `x[0] … x[n-1]`, in f64, the sum from left to right:
//!
//! | format | before rounding `v`                  | clips                | NaN |
//! |--------|--------------------------------------|----------------------|-----|
//! | `i8`   | `sum(x) / n * 256`                   | never                | –   |
//! | `i16`, µ-law, A-law | `sum(x) / n`            | never                | –   |
//! | `i32`  | `sum(x) / n / 65536`                 | never                | –   |
//! | `u8`   | `(sum(x) / n - 128) * 256`           | never                | –   |
//! | `u16`  | `sum(x) / n - 32768`                 | never                | –   |
//! | `u32`  | `(sum(x) / n - 2147483648) / 65536`  | never                | –   |
//! | `f16`, `f32`, `f64` | `sum(x) / n * 32768`    | beyond ±32768        | any channel NaN, or +∞ and −∞ together |
//!
//! `y = min(max(rint(v), -32768), 32767)`, with `rint` to the nearest and ties to even; NaN gives 0. Hence one rounding,
//! after the downmix, and `NumPy` computes the same in one line. +1.0 is full scale and becomes 32767; it is not *beyond*
//! full scale and does not count as clipped.

use std::iter::zip;
use std::ops::AddAssign;

/// Bytes of one sample on the wire.
pub const SAMPLE_BYTES: usize = 2;

/// The most channels of a block. More than that is an array that lies on its side.
pub const MAX_CHANNELS: usize = 64;

/// Samples that could not be represented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// Were not a number, and became silence.
    pub nan: u64,
    /// Were beyond full scale, and saturated.
    pub clipped: u64,
}

impl AddAssign for Defects {
    fn add_assign(&mut self, other: Self) {
        self.nan += other.nan;
        self.clipped += other.clipped;
    }
}

/// Samples to be sent, wherever they lie.
pub trait Block {
    /// Samples per channel.
    fn samples(&self) -> usize;

    /// Convert the samples from `start` on; `pcm` has [`SAMPLE_BYTES`] for each that is wanted.
    ///
    /// What is wanted must be there: `start + pcm.len() / SAMPLE_BYTES <= samples()`.
    fn read(&self, start: usize, pcm: &mut [u8]) -> Defects;

    /// Downmix the samples from `start` on without rounding, one to each place of `mixed`, for a filter.
    ///
    /// What is wanted must be there, as for [`Self::read`].
    fn mix(&self, start: usize, mixed: &mut [f32]) -> Defects;
}

/// One of the accepted sample formats.
pub trait Sample: Copy {
    /// All bits zero; what a scratch buffer is initialised with.
    const ZERO: Self;
    /// The value of silence.
    const SILENCE: f64;
    /// From this format's range to that of 16 bits. A power of two, so that scaling is exact.
    const SCALE: f64;

    /// Exact for every format.
    fn widen(self) -> f64;

    /// At full scale ±1, to 24 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "24 bits are 144 dB; beyond the range of f32 is infinite"
    )]
    fn narrow(self) -> f32 {
        ((self.widen() - Self::SILENCE) * (Self::SCALE / FULL_SCALE)) as f32
    }

    /// Convert one channel.
    fn mono(samples: &[Self], pcm: &mut [u8]) -> Defects {
        mixed(
            samples.iter().map(|sample| sample.widen()),
            Self::SILENCE,
            Self::SCALE,
            pcm,
        )
    }
}

impl Sample for i16 {
    const ZERO: Self = 0;
    const SILENCE: f64 = 0.0;
    const SCALE: f64 = 1.0;

    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn narrow(self) -> f32 {
        f32::from(self) / 32_768.0
    }

    /// Bit for bit.
    fn mono(samples: &[Self], pcm: &mut [u8]) -> Defects {
        let (pairs, _) = pcm.as_chunks_mut::<SAMPLE_BYTES>();
        for (pair, sample) in zip(pairs, samples) {
            *pair = sample.to_le_bytes();
        }
        Defects::default()
    }
}

macro_rules! integer {
    ($integer:ty, silence $silence:literal, scale $scale:expr) => {
        impl Sample for $integer {
            const ZERO: Self = 0;
            const SILENCE: f64 = $silence;
            const SCALE: f64 = $scale;

            fn widen(self) -> f64 {
                f64::from(self)
            }
        }
    };
}

integer!(i8, silence 0.0, scale 256.0);
integer!(i32, silence 0.0, scale 1.0 / 65_536.0);
integer!(u8, silence 128.0, scale 256.0);
integer!(u16, silence 32_768.0, scale 1.0);
integer!(u32, silence 2_147_483_648.0, scale 1.0 / 65_536.0);

/// A float of 16 bits, as IEEE 754 has it: a sign, five bits of exponent, ten of mantissa.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct F16(pub u16);

impl Sample for F16 {
    const ZERO: Self = Self(0);
    const SILENCE: f64 = 0.0;
    const SCALE: f64 = FULL_SCALE;

    fn widen(self) -> f64 {
        f64::from(self.narrow())
    }

    /// The same fields in an f32 are a number that is 2^112 too small, denormal or not.
    fn narrow(self) -> f32 {
        const UP: f32 = f32::from_bits((127 + 112) << 23);
        const SPECIAL: u32 = 0x7f80_0000;
        let fields = u32::from(self.0 & 0x7fff) << 13;
        let magnitude = if self.0 & 0x7c00 == 0x7c00 {
            f32::from_bits(fields | SPECIAL)
        } else {
            f32::from_bits(fields) * UP
        };
        if self.0 & 0x8000 == 0 {
            magnitude
        } else {
            -magnitude
        }
    }
}

/// A sample in the byte order of other machines.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Swapped<T>(pub T);

macro_rules! swapped {
    ($($sample:ty: $swap:expr),+) => {
        $(
            impl Sample for Swapped<$sample> {
                const ZERO: Self = Self(<$sample>::ZERO);
                const SILENCE: f64 = <$sample>::SILENCE;
                const SCALE: f64 = <$sample>::SCALE;

                fn widen(self) -> f64 {
                    let swap: fn($sample) -> $sample = $swap;
                    swap(self.0).widen()
                }
            }
        )+
    };
}

swapped!(
    i16: i16::swap_bytes,
    i32: i32::swap_bytes,
    u16: u16::swap_bytes,
    u32: u32::swap_bytes,
    F16: |sample| F16(sample.0.swap_bytes()),
    f32: |sample| f32::from_bits(sample.to_bits().swap_bytes()),
    f64: |sample| f64::from_bits(sample.to_bits().swap_bytes())
);

impl Sample for f32 {
    const ZERO: Self = 0.0;
    const SILENCE: f64 = 0.0;
    const SCALE: f64 = FULL_SCALE;

    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn narrow(self) -> f32 {
        self
    }

    /// A multiplication by a power of two is as exact in f32 as in f64, and twice as many samples fit a vector.
    fn mono(samples: &[Self], pcm: &mut [u8]) -> Defects {
        /// See [`ROUNDER`].
        const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23
        let mut nan = 0_u32;
        let mut clipped = 0_u32;
        let (pairs, _) = pcm.as_chunks_mut::<SAMPLE_BYTES>();
        for (pair, sample) in zip(pairs, samples) {
            let value = sample * 32_768.0;
            nan += u32::from(value.is_nan());
            clipped += u32::from(value > 32_768.0) + u32::from(value < -32_768.0);
            let value = if value.is_nan() { 0.0 } else { value };
            let value = if value < 32_767.0 { value } else { 32_767.0 };
            let value = if value > -32_768.0 { value } else { -32_768.0 };
            let [low, high, ..] = (value + ROUNDER).to_bits().to_le_bytes();
            *pair = [low, high];
        }
        Defects {
            nan: nan.into(),
            clipped: clipped.into(),
        }
    }
}

impl Sample for f64 {
    const ZERO: Self = 0.0;
    const SILENCE: f64 = 0.0;
    const SCALE: f64 = FULL_SCALE;

    fn widen(self) -> f64 {
        self
    }
}

const FULL_SCALE: f64 = 32_768.0;

/// Adding this leaves no bits for a fraction, so the addition itself rounds to the nearest, ties to even, and the low
/// bits of the sum are the integer in two's complement. Unlike `round_ties_even`, which without SSE4.1 is a call, it
/// vectorises on every x86-64.
const ROUNDER: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

/// Convert interleaved channels; `pcm` has [`SAMPLE_BYTES`] for each sample.
///
/// Converts as many samples as both slices hold. No channels give no samples.
pub fn convert<T: Sample>(interleaved: &[T], channels: usize, pcm: &mut [u8]) -> Defects {
    match channels {
        0 => Defects::default(),
        1 => T::mono(interleaved, pcm),
        2 => {
            #[expect(
                clippy::manual_midpoint,
                reason = "f64::midpoint branches to avoid an overflow; the table above has it saturate"
            )]
            let mean = |[left, right]: &[T; 2]| (left.widen() + right.widen()) / 2.0;
            let (frames, _) = interleaved.as_chunks::<2>();
            mixed(frames.iter().map(mean), T::SILENCE, T::SCALE, pcm)
        }
        _ => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of channels is far below 2^53"
            )]
            let divisor = channels as f64;
            let means = interleaved.chunks_exact(channels).map(|frame| {
                // `sum()` starts from -0.0 and adds from left to right.
                frame.iter().map(|sample| sample.widen()).sum::<f64>() / divisor
            });
            mixed(means, T::SILENCE, T::SCALE, pcm)
        }
    }
}

/// Scale, round and saturate; the loop is free of branches so that it becomes vector code.
fn mixed(means: impl Iterator<Item = f64>, silence: f64, scale: f64, pcm: &mut [u8]) -> Defects {
    let mut nan = 0_u32;
    let mut clipped = 0_u32;
    let (pairs, _) = pcm.as_chunks_mut::<SAMPLE_BYTES>();
    for (pair, mean) in zip(pairs, means) {
        let value = (mean - silence) * scale;
        nan += u32::from(value.is_nan());
        clipped += u32::from(value > FULL_SCALE) + u32::from(value < -FULL_SCALE);
        let value = if value.is_nan() { 0.0 } else { value };
        // Before rounding instead of after: the bounds are integers, so it makes no difference.
        let value = if value < 32_767.0 { value } else { 32_767.0 };
        let value = if value > -32_768.0 { value } else { -32_768.0 };
        let [low, high, ..] = (value + ROUNDER).to_bits().to_le_bytes();
        *pair = [low, high];
    }
    Defects {
        nan: nan.into(),
        clipped: clipped.into(),
    }
}

/// Downmix interleaved channels to f32 at full scale ±1, as many samples as both slices hold.
///
/// A filter remembers what it is given, so what it could not forget again is kept from it: NaN gives 0 and is counted,
/// and beyond eight times full scale (infinity, say) is limited to that. Saturation is for after the filter.
pub fn mix<T: Sample>(interleaved: &[T], channels: usize, mixed: &mut [f32]) -> Defects {
    match channels {
        0 => Defects::default(),
        1 => bounded(interleaved.iter().map(|sample| sample.narrow()), mixed),
        2 => {
            let (frames, _) = interleaved.as_chunks::<2>();
            let mean = |[left, right]: &[T; 2]| (left.narrow() + right.narrow()) * 0.5;
            bounded(frames.iter().map(mean), mixed)
        }
        _ => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of channels is far below 2^24"
            )]
            let share = 1.0 / channels as f32;
            let means = interleaved
                .chunks_exact(channels)
                .map(|frame| frame.iter().map(|sample| sample.narrow()).sum::<f32>() * share);
            bounded(means, mixed)
        }
    }
}

fn bounded(means: impl Iterator<Item = f32>, mixed: &mut [f32]) -> Defects {
    const HEADROOM: f32 = 8.0;
    let mut nan = 0_u32;
    for (place, mean) in zip(mixed, means) {
        nan += u32::from(mean.is_nan());
        let value = if mean.is_nan() { 0.0 } else { mean };
        let value = if value < HEADROOM { value } else { HEADROOM };
        *place = if value > -HEADROOM { value } else { -HEADROOM };
    }
    Defects {
        nan: nan.into(),
        clipped: 0,
    }
}

/// A block in Rust's own memory.
#[derive(Clone, Copy, Debug)]
pub struct Interleaved<'a, T> {
    frames: &'a [T],
    channels: usize,
}

impl<'a, T: Sample> Interleaved<'a, T> {
    /// `None` if there are no channels or the last sample lacks some.
    #[must_use]
    pub fn new(frames: &'a [T], channels: usize) -> Option<Self> {
        (channels > 0 && frames.len().is_multiple_of(channels)).then_some(Self { frames, channels })
    }
}

impl<T: Sample> Block for Interleaved<'_, T> {
    fn samples(&self) -> usize {
        self.frames.len() / self.channels // not zero, by construction
    }

    fn read(&self, start: usize, pcm: &mut [u8]) -> Defects {
        let rest = self.frames.get(start * self.channels..).unwrap_or_default();
        convert(rest, self.channels, pcm)
    }

    fn mix(&self, start: usize, mixed: &mut [f32]) -> Defects {
        let rest = self.frames.get(start * self.channels..).unwrap_or_default();
        mix(rest, self.channels, mixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted<T: Sample>(interleaved: &[T], channels: usize) -> (Vec<i16>, Defects) {
        let mut pcm = vec![0; interleaved.len() / channels * SAMPLE_BYTES];
        let defects = convert(interleaved, channels, &mut pcm);
        let (pairs, _) = pcm.as_chunks();
        (
            pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
            defects,
        )
    }

    fn values<T: Sample>(interleaved: &[T], channels: usize) -> Vec<i16> {
        converted(interleaved, channels).0
    }

    #[test]
    fn sixteen_bits_pass_through() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        assert_eq!(values(&all, 1), all);
    }

    #[test]
    fn ties_go_to_even() {
        assert_eq!(values(&[0_i16, 1, 1, 2, -1, 0, -2, -1], 2), [0, 2, 0, -2]);
        assert_eq!(
            values(&[0x8000, 0x1_8000, -0x8000, -0x1_8000], 1),
            [0, 2, 0, -2]
        );
        let step = 1.0 / 32_768.0;
        assert_eq!(
            values(
                &[0.5 * step, 1.5 * step, -0.5 * step, -1.5 * step, 2.5 * step],
                1
            ),
            [0, 2, 0, -2, 2]
        );
    }

    #[test]
    fn extremes() {
        assert_eq!(values(&[i32::MIN, i32::MAX, 0], 1), [i16::MIN, i16::MAX, 0]);
        assert_eq!(values(&[0_u8, 128, 255], 1), [i16::MIN, 0, 32_512]);
        let (pcm, defects) = converted(
            &[
                1.0_f32,
                -1.0,
                1.000_1,
                -1.000_1,
                f32::INFINITY,
                f32::MIN,
                f32::NAN,
            ],
            1,
        );
        assert_eq!(
            pcm,
            [
                i16::MAX,
                i16::MIN,
                i16::MAX,
                i16::MIN,
                i16::MAX,
                i16::MIN,
                0
            ]
        );
        assert_eq!(defects, Defects { nan: 1, clipped: 4 });
    }

    #[test]
    fn full_scale_is_not_beyond_full_scale() {
        for (value, clipped) in [(1.0, 0), (-1.0, 0), (1.000_1, 2), (-1.000_1, 2)] {
            let defects = Defects { nan: 0, clipped };
            assert_eq!(converted(&[value; 4], 2).1, defects, "{value}");
            #[expect(clippy::cast_possible_truncation, reason = "near enough")]
            let short = value as f32;
            assert_eq!(converted(&[short; 2], 1).1, defects, "{short} as f32");
        }
    }

    #[test]
    fn nan_in_any_channel_and_opposite_infinities_are_nan() {
        let (pcm, defects) = converted(
            &[
                f64::NAN,
                1.0,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::INFINITY,
                0.0,
                0.25,
                0.75,
            ],
            2,
        );
        assert_eq!(pcm, [0, 0, i16::MAX, 16_384]);
        assert_eq!(defects, Defects { nan: 2, clipped: 1 });
    }

    /// The vector-friendly arithmetic against the standard library, over every value near an integer or a half.
    #[test]
    fn rounding_is_rint() {
        for quarters in -140_000_i32..140_000 {
            let value = f64::from(quarters) / 4.0;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturation is what is tested"
            )]
            let expected = value.round_ties_even() as i16;
            let sample = value / 32_768.0;
            assert_eq!(values(&[sample], 1), [expected], "{value}");
            #[expect(clippy::cast_possible_truncation, reason = "19 bits fit")]
            let sample = sample as f32;
            assert_eq!(values(&[sample], 1), [expected], "{value} as f32");
            assert_eq!(
                values(&[sample, sample, sample], 3),
                [expected],
                "{value} in three channels"
            );
        }
    }
}
