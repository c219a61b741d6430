//! Base64 encoding with AVX-512 VBMI, 48 bytes in three instructions, after Muła and Lemire ("Base64 encoding and decoding
//! at almost the speed of a memory copy", arXiv 1910.05109).
//!
//! What it pays (AMD Zen 4, the `base64` crate's AVX2 in the same run): 12 ns instead of 69 ns for 20 ms of audio, 2.0 µs
//! instead of 8.6 µs for a 100 KB image. A version for AVX2 was tried and thrown out: 55 ns and 8.8 µs.
#![allow(unsafe_code)] // a processor's feature is asked for, and vectors are arrays of bytes; see each place

use std::arch::x86_64::{
    __m512i, _mm512_multishift_epi64_epi8, _mm512_permutexvar_epi8, _mm512_set1_epi64,
};

const VECTOR: usize = 64;
/// Bytes that become one vector of text.
const STEP: usize = 48;

const ALPHABET: [u8; VECTOR] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Three bytes a b c in four places, b a c b, so that each 16 bits hold two symbols.
const SPREAD: [u8; VECTOR] = {
    let mut spread = [0; VECTOR];
    let mut place = 0;
    while place < VECTOR {
        let group = place / 4 * 3;
        #[expect(clippy::cast_possible_truncation, reason = "less than 48")]
        let source = (group + [1, 0, 2, 1][place % 4]) as u8;
        spread[place] = source;
        place += 1;
    }
    spread
};

/// From which bit on each of eight symbols lies in the eight bytes b a c b, e d f e.
const SHIFTS: i64 = i64::from_le_bytes([10, 4, 22, 16, 42, 36, 54, 48]);

/// Encode as much from the front of `bytes` as goes by whole vectors; return how many bytes that was.
///
/// It is a multiple of three, so what is left can be encoded by itself. `text` must have room for all of it.
pub fn encode_front(bytes: &[u8], text: &mut [u8]) -> usize {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vbmi") {
        // SAFETY: the processor has what the function needs.
        unsafe { encode(bytes, text) }
    } else {
        0
    }
}

#[target_feature(enable = "avx512f,avx512vbmi")]
fn encode(bytes: &[u8], text: &mut [u8]) -> usize {
    let (spread, alphabet) = (vector(SPREAD), vector(ALPHABET));
    let mut rest = bytes;
    for place in text.as_chunks_mut::<VECTOR>().0 {
        // a vector is read, of which 48 bytes are wanted
        let Some((window, behind)) = rest.first_chunk().zip(rest.get(STEP..)) else {
            break;
        };
        let lanes = _mm512_permutexvar_epi8(spread, vector(*window));
        let values = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(SHIFTS), lanes);
        // of each byte only the lower six bits choose a symbol
        *place = array(_mm512_permutexvar_epi8(values, alphabet));
        rest = behind;
    }
    bytes.len() - rest.len()
}

fn vector(bytes: [u8; VECTOR]) -> __m512i {
    // SAFETY: both are 64 bytes that mean something whatever they are.
    unsafe { std::mem::transmute(bytes) }
}

fn array(vector: __m512i) -> [u8; VECTOR] {
    // SAFETY: as above.
    unsafe { std::mem::transmute(vector) }
}
