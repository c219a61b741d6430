//! The filters that resampling needs: their design, and their tables, shared by all resamplers of the process.
//!
//! **Design.** A Kaiser-windowed sinc, with a little cosine under the same window that lifts the edge of the pass-band.
//! With `f` half the lower of the two rates and a window from `-T` to `T`,
//!
//! ```text
//! T = min(16.5 / f, 2.87 ms)      pass-band: 0 … f - 2.0625/T within ±0.1 dB      stop-band: from f on, below -80 dB
//! ```
//!
//! hence for speech at 16 kHz from 22.05 kHz and more: flat to 7 kHz, nothing from 8 kHz on, which is where folding
//! begins, and 2.1 ms. Between 7 and 8 kHz it falls, by 6 dB at 7.4; what comes from above 8 kHz is 80 dB down wherever it
//! folds to. With 8 kHz on one side: flat to 3.28 kHz, nothing from 4 kHz on, 2.9 ms. Each phase has a gain of exactly
//! one for a constant, so that silence with an offset stays without ripple.
//!
//! **Tables.** With `rate_out / rate_in = L / M` in lowest terms the filter has `L` phases. Up to [`MAX_TAPS`]
//! coefficients they are all in the table, and the ratio is exact. Beyond that (11.027 → 16 kHz has 16,000 phases) the
//! table holds 512 phases, or fewer if the input has the higher rate, and an output lies on the line between the two
//! nearest: an error of `(π / 512)² / 8` = -106 dB at `f` and less below, where 16 bits have -98 dB. Time itself is
//! counted in integers and never drifts.

use std::collections::HashMap;
use std::f64::consts::PI;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The largest table, 256 KiB. 11.025 → 16 kHz, with 640 phases the largest of the usual ones, has 51,200.
pub const MAX_TAPS: usize = 65_536;

/// Of the window, in half periods of the lower Nyquist frequency: this gives a pass-band of 7/8 of it.
const HALF_LENGTH: f64 = 16.5;
/// The window of a low rate is cut off here, at the cost of its pass-band: 3 ms are promised.
const MAX_HALF_LENGTH_S: f64 = 0.00287;
// Found by a random search for the least ripple and the deepest stop-band of all rates: ±0.08 dB and -82 dB. Without
// the cosine, the same would take a sixth more time. Frequencies are in units of 1/T, below the lower Nyquist
// frequency.
const KAISER_BETA: f64 = 7.954;
const CUTOFF_BELOW: f64 = 1.280;
const LIFT_BELOW: f64 = 1.695;
const LIFT: f64 = 0.0400;

/// Phases of an interpolated table, if the input rate is the lower one.
const PHASES: f64 = 512.0;

/// The sum of a product is kept in so many parts, which is what a vector unit can do, and in an order that does not
/// depend on how wide it is: all machines give the same bits.
pub const LANES: usize = 16;

/// The coefficients for one pair of rates.
#[derive(Debug)]
pub struct Filter {
    /// Of the ratio in lowest terms: an output is `step / phases` inputs after the one before it.
    pub phases: u32,
    pub step: u32,
    /// Coefficients of one phase, a multiple of [`LANES`].
    pub taps: usize,
    /// How many inputs beyond its own time an output needs.
    pub ahead: usize,
    /// One row for each phase; or, if `interpolated`, for each of so many less one, equally apart.
    pub table: Box<[f32]>,
    pub interpolated: Option<u32>,
}

impl Filter {
    fn new(rate_in_hz: u32, rate_out_hz: u32) -> Self {
        let divisor = gcd(rate_in_hz, rate_out_hz);
        let (phases, step) = (rate_out_hz / divisor, rate_in_hz / divisor);
        if phases == step {
            let mut table = vec![0.0; LANES].into_boxed_slice();
            table[LANES - 1] = 1.0; // the last tap is the newest input
            return Self {
                phases,
                step,
                taps: LANES,
                ahead: 0,
                table,
                interpolated: None,
            };
        }
        let kernel = Kernel::new(rate_in_hz, rate_out_hz);
        let exact = Rows::new(&kernel, phases, phases - 1);
        if exact.rows() * exact.taps <= MAX_TAPS {
            return exact.fill(&kernel, phases, step, None);
        }
        let spacing = kernel.phases_to_interpolate();
        let between = Rows::new(&kernel, spacing, spacing);
        between.fill(&kernel, phases, step, Some(spacing))
    }

    /// What `ahead` is in seconds.
    pub fn delay_s(&self, rate_in_hz: u32) -> f64 {
        position(self.ahead) / f64::from(rate_in_hz)
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.table[row * self.taps..][..self.taps]
    }

    /// The row before a phase that lies between two, and the weight of the one after.
    pub fn between(&self, phase: u32, spacing: u32) -> (usize, f32) {
        let place = u64::from(phase) * u64::from(spacing); // less than 192,000 * 512
        let phases = u64::from(self.phases);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a row is at most 511; a weight needs no more than 24 bits"
        )]
        let between = (
            (place / phases) as usize,
            (place % phases) as f32 / self.phases as f32,
        );
        between
    }
}

/// The shape of a table: rows for the fractions `0/spacing` to `last/spacing` of an input.
struct Rows {
    spacing: u32,
    last: u32,
    ahead: usize,
    taps: usize,
}

impl Rows {
    fn new(kernel: &Kernel, spacing: u32, last: u32) -> Self {
        // The inputs `i` of a row at the fraction `x` are those with `|i - x| < half_length`.
        let latest = f64::from(last) / f64::from(spacing);
        let ahead = whole((kernel.half_length + latest).ceil()) - 1;
        let behind = whole(kernel.half_length.ceil()) - 1;
        Self {
            spacing,
            last,
            ahead,
            taps: (behind + 1 + ahead).next_multiple_of(LANES),
        }
    }

    fn rows(&self) -> usize {
        self.last as usize + 1
    }

    fn fill(&self, kernel: &Kernel, phases: u32, step: u32, interpolated: Option<u32>) -> Filter {
        let mut table = vec![0.0; self.rows() * self.taps].into_boxed_slice();
        let mut row_f64 = vec![0.0; self.taps];
        for (row, number) in table.chunks_exact_mut(self.taps).zip(0_u32..) {
            let fraction = f64::from(number) / f64::from(self.spacing);
            let oldest = position(self.ahead) - position(self.taps - 1) - fraction;
            for (tap, value) in row_f64.iter_mut().enumerate() {
                *value = kernel.at(oldest + position(tap));
            }
            let gain: f64 = row_f64.iter().sum();
            for (tap, value) in row.iter_mut().zip(&row_f64) {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "24 bits are 144 dB, the filter has 80"
                )]
                let rounded = (value / gain) as f32;
                *tap = rounded;
            }
        }
        Filter {
            phases,
            step,
            taps: self.taps,
            ahead: self.ahead,
            table,
            interpolated,
        }
    }
}

/// The impulse response as a function of time, in inputs.
struct Kernel {
    half_length: f64,
    /// Cycles per input.
    cutoff: f64,
    lift_at: f64,
    lift: f64,
    /// The lower Nyquist frequency in units of the input's.
    bandwidth: f64,
}

impl Kernel {
    fn new(rate_in_hz: u32, rate_out_hz: u32) -> Self {
        let rate_hz = f64::from(rate_in_hz);
        let nyquist_hz = f64::from(rate_in_hz.min(rate_out_hz)) / 2.0;
        let half_length_s = (HALF_LENGTH / nyquist_hz).min(MAX_HALF_LENGTH_S);
        let half_length = half_length_s * rate_hz;
        let nyquist = nyquist_hz / rate_hz;
        Self {
            half_length,
            cutoff: nyquist - CUTOFF_BELOW / half_length,
            lift_at: nyquist - LIFT_BELOW / half_length,
            lift: LIFT / half_length,
            bandwidth: 2.0 * nyquist,
        }
    }

    /// The gain is not normalised.
    fn at(&self, time: f64) -> f64 {
        let place = time / self.half_length;
        if place.abs() > 1.0 - 1e-9 {
            return 0.0; // on the edge, too, wherever rounding puts it
        }
        let window = bessel_i0(KAISER_BETA * (1.0 - place * place).sqrt());
        let phase = 2.0 * PI * self.cutoff * time;
        let sinc = if phase == 0.0 {
            1.0
        } else {
            phase.sin() / phase
        };
        let lift = (2.0 * PI * self.lift_at * time).cos();
        window * (self.cutoff * sinc + self.lift * lift)
    }

    fn phases_to_interpolate(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 22 to 512"
        )]
        let phases = (PHASES * self.bandwidth).ceil() as u32;
        phases
    }
}

/// The modified Bessel function of the first kind and order zero, by its power series.
fn bessel_i0(argument: f64) -> f64 {
    let quarter = argument * argument / 4.0;
    let (mut term, mut sum, mut order) = (1.0, 1.0, 1.0);
    while term > 1e-17 * sum {
        term *= quarter / (order * order);
        sum += term;
        order += 1.0;
    }
    sum
}

fn gcd(one: u32, other: u32) -> u32 {
    if other == 0 {
        one
    } else {
        gcd(other, one % other)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths of a few hundred"
)]
fn whole(length: f64) -> usize {
    length as usize
}

#[expect(clippy::cast_precision_loss, reason = "lengths of a few hundred")]
fn position(length: usize) -> f64 {
    length as f64
}

type Filters = HashMap<(u32, u32), Arc<Filter>>;

/// The filter of a pair of rates: the one that others use, if there are any.
///
/// Those of which nobody makes use any more stay until there are many, since a server's calls come and go.
pub fn shared_filter(rate_in_hz: u32, rate_out_hz: u32) -> Arc<Filter> {
    const KEPT: usize = 16; // 4 MiB at the very most
    static FILTERS: LazyLock<Mutex<Filters>> = LazyLock::new(Mutex::default);
    let mut filters = FILTERS.lock().unwrap_or_else(PoisonError::into_inner);
    if filters.len() >= KEPT {
        filters.retain(|rates, filter| {
            *rates == (rate_in_hz, rate_out_hz) || Arc::strong_count(filter) > 1
        });
    }
    Arc::clone(
        filters
            .entry((rate_in_hz, rate_out_hz))
            .or_insert_with(|| Arc::new(Filter::new(rate_in_hz, rate_out_hz))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gain in dB at a frequency, of the filter as its table has it: all phases together are the prototype.
    fn gain_db(filter: &Filter, rate_in_hz: u32, frequency_hz: f64) -> f64 {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for phase in 0..filter.phases {
            for (tap, value) in filter.row(phase as usize).iter().enumerate() {
                let time = position(tap) - position(filter.taps - 1 - filter.ahead);
                let time = time - f64::from(phase) / f64::from(filter.phases);
                let angle = 2.0 * PI * frequency_hz / f64::from(rate_in_hz) * time;
                real += f64::from(*value) * angle.cos();
                imaginary += f64::from(*value) * angle.sin();
            }
        }
        20.0 * (real.hypot(imaginary) / f64::from(filter.phases)).log10()
    }

    #[test]
    fn the_bands_are_as_documented() {
        for (rate_in_hz, rate_out_hz) in [
            (48_000, 16_000),
            (32_000, 16_000),
            (24_000, 16_000),
            (12_000, 16_000),
            (8_000, 16_000),
            (24_000, 48_000),
            (24_000, 8_000),
        ] {
            let filter = Filter::new(rate_in_hz, rate_out_hz);
            let nyquist_hz = f64::from(rate_in_hz.min(rate_out_hz)) / 2.0;
            let half_length_s = (16.5 / nyquist_hz).min(0.002_87);
            let pass_hz = nyquist_hz - 2.0625 / half_length_s;
            for step in 0..=200 {
                let frequency_hz = pass_hz * f64::from(step) / 200.0;
                let gain = gain_db(&filter, rate_in_hz, frequency_hz);
                assert!(
                    gain.abs() < 0.1,
                    "{rate_in_hz} → {rate_out_hz}: {gain} dB at {frequency_hz} Hz"
                );
            }
            let highest_hz = f64::from(rate_in_hz) * f64::from(filter.phases) / 2.0;
            for step in 0..=400 {
                let frequency_hz = nyquist_hz + (highest_hz - nyquist_hz) * f64::from(step) / 400.0;
                let gain = gain_db(&filter, rate_in_hz, frequency_hz);
                assert!(
                    gain < -80.0,
                    "{rate_in_hz} → {rate_out_hz}: {gain} dB at {frequency_hz} Hz"
                );
            }
        }
    }

    #[test]
    fn no_filter_holds_back_three_milliseconds_or_takes_much_memory() {
        let rates = [
            8_000, 8_001, 11_025, 11_027, 16_000, 22_050, 44_100, 47_999, 96_000, 191_999, 192_000,
        ];
        for rate_in_hz in rates {
            for rate_out_hz in rates {
                let filter = Filter::new(rate_in_hz, rate_out_hz);
                assert!(
                    filter.delay_s(rate_in_hz) < 0.003,
                    "{rate_in_hz} → {rate_out_hz}"
                );
                assert!(
                    filter.table.len() <= MAX_TAPS,
                    "{rate_in_hz} → {rate_out_hz}"
                );
            }
        }
    }

    #[test]
    fn a_filter_is_shared_and_unused_ones_make_room() {
        let filter = shared_filter(48_000, 16_000);
        assert!(Arc::ptr_eq(&filter, &shared_filter(48_000, 16_000)));
        for rate_hz in 8_000..8_040 {
            shared_filter(rate_hz, 16_000);
        }
        assert!(Arc::ptr_eq(&filter, &shared_filter(48_000, 16_000)));
        assert!(Arc::strong_count(&filter) <= 3); // another test may use it, too
    }
}
