//! From one sample rate to another: a streaming polyphase FIR for any rational ratio, with a delay below 3 ms.
//!
//! **Alignment.** The phase is linear and its delay is taken out: output `k` is the input at the time `k / rate_out`,
//! of which the first input is time zero. `n` inputs give `ceil(n * rate_out / rate_in)` outputs in all. What remains
//! is that an output must wait for the inputs up to `T` after it, [`Resampler::delay_s`]; `flush` supplies them as
//! zeros. Every output is computed from its own inputs alone, in one order, whatever the blocks: the same bits.
#![allow(
    clippy::inline_always,
    reason = "what is to be part of a loop for one vector unit must not be compiled without it"
)]

use std::array::from_fn;
use std::sync::Arc;

use crate::filter::{Filter, LANES, shared_filter};
use crate::pcm::{Block, Defects, SAMPLE_BYTES, Sample};

/// From the telephone to the studio.
pub const MIN_RATE_HZ: u32 = 8_000;
/// See [`MIN_RATE_HZ`].
pub const MAX_RATE_HZ: u32 = 192_000;

/// Outputs that are computed at once, so that a vector unit need not wait for one sum before the next.
const AT_ONCE: usize = 4;

/// Inputs that are taken at once.
const PIECE: usize = 1_024;

/// Outputs that are rounded at once.
const ROUNDED_AT_ONCE: usize = 256;

/// Where the inputs of an output begin, and how many phases it lies after the one of them that it is reckoned from.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: usize,
    phase: u32,
}

impl Place {
    fn next(self, filter: &Filter) -> Self {
        let phase = self.phase + filter.step % filter.phases; // less than twice 192,000
        let carry = u32::from(phase >= filter.phases);
        Self {
            at: self.at + (filter.step / filter.phases + carry) as usize,
            phase: phase - carry * filter.phases,
        }
    }
}

/// Compute the outputs from `place` on, whose inputs are there, and return the place after them.
///
/// One source for every vector unit: with AVX2 it takes 0.4 to 0.5 of the time. Fused multiply-add would be faster
/// still, and give other bits on other machines.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn compute(filter: &Filter, inputs: &[f32], place: Place, outputs: &mut [f32]) -> Place {
    let mut place = place;
    for outputs in outputs.chunks_mut(AT_ONCE) {
        // Where there are fewer, the last is computed again: it is the same arithmetic for all.
        let mut places = [place; AT_ONCE];
        for number in 1..AT_ONCE {
            let before = places[number - 1];
            places[number] = if number < outputs.len() {
                before.next(filter)
            } else {
                before
            };
        }
        place = places[AT_ONCE - 1].next(filter);
        let starts = places.map(|place| &inputs[place.at..][..filter.taps]);
        let computed = match filter.interpolated {
            None if filter.phases == 1 => products_of_one(&filter.table, starts),
            None => products(places.map(|place| filter.row(place.phase as usize)), starts),
            Some(spacing) => {
                let rows = places.map(|place| filter.between(place.phase, spacing));
                let before = products(rows.map(|(row, _)| filter.row(row)), starts);
                let after = products(rows.map(|(row, _)| filter.row(row + 1)), starts);
                from_fn(|output| before[output] + (after[output] - before[output]) * rows[output].1)
            }
        };
        outputs.copy_from_slice(&computed[..outputs.len()]);
    }
    place
}

type Lanes = [f32; LANES];

/// The sums of products of rows of coefficients with stretches of input of the same length.
#[inline(always)]
fn products(rows: [&[f32]; AT_ONCE], inputs: [&[f32]; AT_ONCE]) -> [f32; AT_ONCE] {
    let groups = rows[0].len() / LANES;
    let [row_a, row_b, row_c, row_d] = rows.map(|row| &row.as_chunks::<LANES>().0[..groups]);
    let [in_a, in_b, in_c, in_d] = inputs.map(|input| &input.as_chunks::<LANES>().0[..groups]);
    let (mut a, mut b, mut c, mut d) = ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for group in 0..groups {
        a = add_products(a, &row_a[group], &in_a[group]);
        b = add_products(b, &row_b[group], &in_b[group]);
        c = add_products(c, &row_c[group], &in_c[group]);
        d = add_products(d, &row_d[group], &in_d[group]);
    }
    totals(&[a, b, c, d])
}

/// The same with one row for all, which is read once.
#[inline(always)]
fn products_of_one(row: &[f32], inputs: [&[f32]; AT_ONCE]) -> [f32; AT_ONCE] {
    let (row, _) = row.as_chunks::<LANES>();
    let [in_a, in_b, in_c, in_d] = inputs.map(|input| &input.as_chunks::<LANES>().0[..row.len()]);
    let (mut a, mut b, mut c, mut d) = ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for (group, taps) in row.iter().enumerate() {
        a = add_products(a, taps, &in_a[group]);
        b = add_products(b, taps, &in_b[group]);
        c = add_products(c, taps, &in_c[group]);
        d = add_products(d, taps, &in_d[group]);
    }
    totals(&[a, b, c, d])
}

#[inline(always)]
fn add_products(sums: Lanes, taps: &Lanes, inputs: &Lanes) -> Lanes {
    from_fn(|lane| sums[lane] + taps[lane] * inputs[lane])
}

/// By halves. Not inlined: seeing the tree, LLVM would shape the loop before it after it, two lanes wide.
#[inline(never)]
fn totals(sums: &[Lanes; AT_ONCE]) -> [f32; AT_ONCE] {
    sums.map(|lanes| {
        let lanes: [f32; 8] = from_fn(|lane| lanes[lane] + lanes[lane + 8]);
        let lanes: [f32; 4] = from_fn(|lane| lanes[lane] + lanes[lane + 4]);
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    })
}

/// Samples at one rate in, samples at another out.
///
/// All memory is made with the resampler; feeding it allocates nothing.
#[derive(Clone, Debug)]
pub struct Resampler {
    filter: Arc<Filter>,
    delay_s: f64,
    /// Inputs, at full scale ±1, of which the first `filled` are there. Before the very first there was silence.
    inputs: Box<[f32]>,
    filled: usize,
    /// Of the next output.
    place: Place,
}

impl Resampler {
    /// `None` if a rate is not in [`MIN_RATE_HZ`] to [`MAX_RATE_HZ`].
    #[must_use]
    pub fn new(rate_in_hz: u32, rate_out_hz: u32) -> Option<Self> {
        let accepted = MIN_RATE_HZ..=MAX_RATE_HZ;
        if !accepted.contains(&rate_in_hz) || !accepted.contains(&rate_out_hz) {
            return None;
        }
        let filter = shared_filter(rate_in_hz, rate_out_hz);
        let delay_s = filter.delay_s(rate_in_hz);
        let inputs = vec![0.0; filter.taps + PIECE].into();
        let mut resampler = Self {
            filter,
            delay_s,
            inputs,
            filled: 0,
            place: Place::default(),
        };
        resampler.reset();
        Some(resampler)
    }

    /// How long an output waits for the inputs after it that it depends on.
    #[must_use]
    pub fn delay_s(&self) -> f64 {
        self.delay_s
    }

    /// How many samples a block of so many gives now.
    #[must_use]
    pub fn outputs(&self, samples: usize) -> usize {
        let filter = &*self.filter;
        let available = self.filled.saturating_add(samples);
        let Some(beyond) = available.checked_sub(self.place.at + filter.taps) else {
            return 0;
        };
        // The outputs `k` with `(phase + k * step) / phases < beyond + 1`. No block is so long that this overflows.
        let (phases, step) = (u64::from(filter.phases), u64::from(filter.step));
        let end = (beyond as u64 + 1)
            .saturating_mul(phases)
            .saturating_sub(self.place.phase.into());
        usize::try_from(end.div_ceil(step)).unwrap_or(usize::MAX)
    }

    /// The most that [`Self::tail`] can be.
    #[must_use]
    pub fn longest_tail(&self) -> usize {
        let (phases, step) = (self.filter.phases as usize, self.filter.step as usize);
        (self.filter.ahead * phases).div_ceil(step)
    }

    /// How many samples [`Self::flush`] gives now.
    #[must_use]
    pub fn tail(&self) -> usize {
        self.outputs(self.filter.ahead)
    }

    /// Take a block; write the samples that it completes to `pcm`, which has [`SAMPLE_BYTES`] for each of
    /// [`Self::outputs`].
    pub fn feed(&mut self, block: &impl Block, pcm: &mut [u8]) -> Defects {
        let mut source = Source::new(self, block);
        let mut defects = source.read(pcm);
        defects += source.finish();
        defects
    }

    /// Write what is held back to `pcm`, which has [`SAMPLE_BYTES`] for each of [`Self::tail`], and start anew.
    pub fn flush(&mut self, pcm: &mut [u8]) -> Defects {
        let defects = self.feed(&Silence(self.filter.ahead), pcm);
        self.reset();
        defects
    }

    /// The time before the first sample.
    fn reset(&mut self) {
        self.filled = self.filter.taps - 1 - self.filter.ahead;
        self.inputs[..self.filled].fill(0.0);
        self.place = Place::default();
    }

    /// Go on where `other`, which has the same rates, is.
    pub fn assume(&mut self, other: &Self) {
        let needed = &other.inputs[other.place.at..other.filled];
        self.filled = needed.len();
        self.inputs[..self.filled].copy_from_slice(needed);
        self.place = Place {
            at: 0,
            phase: other.place.phase,
        };
    }

    /// Make room at the end of the inputs, by moving to the front what is still needed.
    fn make_room(&mut self) {
        // Never after the end: a window is longer than a step.
        self.inputs.copy_within(self.place.at..self.filled, 0);
        self.filled -= self.place.at;
        self.place.at = 0;
    }
}

/// A block on its way through a resampler, read piece by piece.
#[derive(Debug)]
pub struct Source<'a, B> {
    resampler: &'a mut Resampler,
    block: &'a B,
    taken: usize,
}

impl<'a, B: Block> Source<'a, B> {
    /// The block comes after all that the resampler was given before.
    pub fn new(resampler: &'a mut Resampler, block: &'a B) -> Self {
        Self {
            resampler,
            block,
            taken: 0,
        }
    }

    /// Write the next samples to `pcm`, [`SAMPLE_BYTES`] for each; not more than [`Resampler::outputs`] in all.
    pub fn read(&mut self, pcm: &mut [u8]) -> Defects {
        let mut defects = Defects::default();
        let mut rounded = [0.0; ROUNDED_AT_ONCE];
        let mut pcm = pcm;
        while !pcm.is_empty() {
            let ready = self.resampler.outputs(0);
            if ready == 0 {
                if self.taken == self.block.samples() {
                    break; // the caller has asked for too much
                }
                defects += self.take();
                continue;
            }
            let count = ready.min(ROUNDED_AT_ONCE).min(pcm.len() / SAMPLE_BYTES);
            if count == 0 {
                break; // half a sample
            }
            let outputs = &mut rounded[..count];
            let resampler = &mut *self.resampler;
            resampler.place = compute(
                &resampler.filter,
                &resampler.inputs,
                resampler.place,
                outputs,
            );
            let (now, later) = pcm.split_at_mut(count * SAMPLE_BYTES);
            defects += Sample::mono(outputs, now);
            pcm = later;
        }
        defects
    }

    /// Take the rest of the block, which must be too little for one more sample.
    #[must_use]
    pub fn finish(mut self) -> Defects {
        let mut defects = Defects::default();
        while self.taken < self.block.samples() {
            let before = self.taken;
            defects += self.take();
            if self.taken == before {
                break; // the caller has left samples that are ready
            }
        }
        defects
    }

    fn take(&mut self) -> Defects {
        let resampler = &mut *self.resampler;
        resampler.make_room();
        let room = &mut resampler.inputs[resampler.filled..];
        let count = room.len().min(self.block.samples() - self.taken);
        let defects = self.block.mix(self.taken, &mut room[..count]);
        resampler.filled += count;
        self.taken += count;
        defects
    }
}

/// So many zeros.
struct Silence(usize);

impl Block for Silence {
    fn samples(&self) -> usize {
        self.0
    }

    fn read(&self, _: usize, pcm: &mut [u8]) -> Defects {
        pcm.fill(0);
        Defects::default()
    }

    fn mix(&self, _: usize, mixed: &mut [f32]) -> Defects {
        mixed.fill(0.0);
        Defects::default()
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::pcm::Interleaved;

    fn resampled(rate_in_hz: u32, rate_out_hz: u32, samples: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(rate_in_hz, rate_out_hz).expect("in range");
        let mut pcm = vec![0; resampler.outputs(samples.len()) * SAMPLE_BYTES];
        let block = Interleaved::new(samples, 1).expect("mono");
        resampler.feed(&block, &mut pcm);
        let mut tail = vec![0; resampler.tail() * SAMPLE_BYTES];
        resampler.flush(&mut tail);
        pcm.extend(tail);
        let (pairs, _) = pcm.as_chunks();
        pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
    }

    #[test]
    fn rates_out_of_range() {
        for (rate_in_hz, rate_out_hz) in [
            (7_999, 16_000),
            (16_000, 192_001),
            (0, 0),
            (u32::MAX, 16_000),
        ] {
            assert!(Resampler::new(rate_in_hz, rate_out_hz).is_none());
        }
    }

    #[test]
    fn equal_rates_pass_through() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        assert_eq!(resampled(44_100, 44_100, &all), all);
        assert_eq!(
            Resampler::new(44_100, 44_100).map(|same| same.delay_s().to_bits()),
            Some(0)
        );
    }

    #[test]
    fn a_constant_stays_one_in_every_phase() {
        for (rate_in_hz, rate_out_hz) in [
            (48_000, 16_000),
            (44_100, 16_000),
            (8_000, 16_000),
            (47_999, 16_000),
            (8_000, 192_000),
        ] {
            let constant = resampled(rate_in_hz, rate_out_hz, &[12_345; 4_000]);
            let margin = rate_out_hz as usize * 3 / 1_000; // where silence before and after is heard
            let inner = &constant[margin..constant.len() - margin];
            assert!(
                inner.iter().all(|sample| *sample == 12_345),
                "{rate_in_hz} → {rate_out_hz}"
            );
        }
    }

    #[test]
    fn an_impulse_stays_where_it_is() {
        let mut impulse = [0; 2_000];
        impulse[800] = 30_000;
        for (rate_in_hz, rate_out_hz, expected) in [
            (48_000, 16_000, 267),
            (8_000, 16_000, 1_600),
            (24_000, 44_100, 1_470),
        ] {
            let response = resampled(rate_in_hz, rate_out_hz, &impulse);
            let loudest = (0..response.len()).max_by_key(|place| response[*place].abs());
            assert_eq!(loudest, Some(expected), "{rate_in_hz} → {rate_out_hz}");
        }
    }

    /// 47,999 → 16,000 Hz would need 16,000 phases.
    #[test]
    fn between_two_rows_is_exact_enough() {
        let sine = |place: usize, rate_hz: f64| {
            let place = f64::from(u32::try_from(place).expect("a few thousand"));
            let value = (TAU * 440.0 * place / rate_hz).sin() * 20_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "in range")]
            let rounded = value.round_ties_even() as i16;
            rounded
        };
        let samples: Vec<i16> = (0..48_000).map(|place| sine(place, 47_999.0)).collect();
        let result = resampled(47_999, 16_000, &samples);
        for (place, value) in result.iter().enumerate().skip(48).take(15_900) {
            let expected = sine(place, 16_000.0);
            assert!(
                (value - expected).abs() <= 2,
                "{value} for {expected} at {place}"
            );
        }
    }

    #[test]
    fn nothing_poisons_the_filter() {
        let mut resampler = Resampler::new(48_000, 16_000).expect("in range");
        let bad = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            -f32::MAX,
        ];
        let bad = Interleaved::new(&bad, 1).expect("mono");
        let defects = resampler.feed(&bad, &mut vec![0; resampler.outputs(5) * SAMPLE_BYTES]);
        assert_eq!(defects.nan, 1);
        let silence = Interleaved::new(&[0.0_f32; 960], 1).expect("mono");
        for block in 0..2 {
            let mut pcm = vec![1; resampler.outputs(960) * SAMPLE_BYTES];
            resampler.feed(&silence, &mut pcm);
            assert!(block == 0 || pcm.iter().all(|byte| *byte == 0));
        }
    }
}
