//! G.711, the telephone's eight bits: µ-law (North America, Japan) and A-law (elsewhere) to linear samples.
//!
//! The values are those of ITU-T G.711, µ-law's 14 bits times 4 and A-law's 13 bits times 8, as everywhere. The tables
//! are computed by the compiler, as the recommendation has it: all bits (µ-law) or every other one (A-law) inverted, then
//! sign, three bits of exponent, four of mantissa.

use crate::pcm::Sample;

static MULAW: [i16; 256] = table(true);
static ALAW: [i16; 256] = table(false);

const fn table(is_mulaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0_u8;
    loop {
        table[code as usize] = if is_mulaw {
            mulaw(!code)
        } else {
            alaw(code ^ 0x55)
        };
        if code == u8::MAX {
            return table;
        }
        code += 1;
    }
}

const fn mulaw(bits: u8) -> i16 {
    const BIAS: i16 = 0x84;
    let exponent = bits >> 4 & 7;
    let magnitude = (((bits & 15) as i16) << 3 | BIAS) << exponent;
    let magnitude = magnitude - BIAS;
    if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

const fn alaw(bits: u8) -> i16 {
    let exponent = bits >> 4 & 7;
    let mantissa = ((bits & 15) as i16) << 4;
    let magnitude = if exponent == 0 {
        mantissa + 8
    } else {
        (mantissa + 0x108) << (exponent - 1)
    };
    if bits & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

macro_rules! companded {
    ($name:ident, $table:ident, $about:literal) => {
        #[doc = $about]
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub struct $name(pub u8);

        impl Sample for $name {
            const ZERO: Self = Self(0);
            const SILENCE: f64 = 0.0;
            const SCALE: f64 = 1.0;

            fn widen(self) -> f64 {
                f64::from($table[usize::from(self.0)])
            }

            fn narrow(self) -> f32 {
                f32::from($table[usize::from(self.0)]) / 32_768.0
            }
        }
    };
}

companded!(MuLaw, MULAW, "A sample in µ-law.");
companded!(ALaw, ALAW, "A sample in A-law.");

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tables of ITU-T G.711: the ends, the smallest steps, and one in between.
    #[test]
    fn values_of_the_recommendation() {
        for (code, value) in [
            (0x00, -32_124),
            (0x80, 32_124),
            (0x7f, 0),
            (0xff, 0),
            (0xfe, 8),
            (0x7e, -8),
            (0xef, 132),
            (0x8f, 16_764),
        ] {
            assert_eq!(MULAW[code], value, "µ-law {code:#x}");
        }
        for (code, value) in [
            (0x2a, -32_256),
            (0xaa, 32_256),
            (0x55, -8),
            (0xd5, 8),
            (0xd4, 24),
            (0x54, -24),
            (0x00, -5_504),
            (0x80, 5_504),
        ] {
            assert_eq!(ALAW[code], value, "A-law {code:#x}");
        }
    }
}
