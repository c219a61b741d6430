//! A steady stream allocates nothing: the encoder has all its memory from the beginning, and the parser keeps what it has.
//!
//! What a long message needed is given back.
//!
//! Python's `tracemalloc` and `sys.getallocatedblocks` do not see Rust's allocator, hence this test.
#![allow(unsafe_code)] // a global allocator is an unsafe trait

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gemini_live_core::encoder::Encoder;
use gemini_live_core::g711::MuLaw;
use gemini_live_core::pcm::{Interleaved, Sample};
use gemini_live_core::websocket::Parser;

thread_local! {
    /// Of this thread, so that what the test harness does meanwhile does not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD_BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it is; growth comes here through `alloc`, by default.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD_BYTES.set(HELD_BYTES.get().wrapping_add(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // what another thread has allocated may be given back here
        HELD_BYTES.set(HELD_BYTES.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promise is passed on; `memory` came from `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(action: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    action();
    ALLOCATIONS.get() - before
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(vec![0_u8; 100])), 1);
}

const ROUNDS: usize = 10;

/// Blocks that fall short of a chunk, fill it, and fill many, from the first call on.
fn stream<T: Sample>(value: T, rate_hz: u32) {
    let mut encoder = Encoder::new(rate_hz, 320).expect("in range");
    let blocks: Vec<Vec<T>> = [2, 318, 640, 642, 5_000]
        .map(|items| vec![value; items])
        .into();
    let mut out = vec![0; 40 * encoder.frame_bytes()]; // twice as many samples as came in, at most
    // The engine of base64 is built on first use.
    encoder
        .flush(|_| Ok::<_, ()>(()))
        .expect("no error to have");
    gemini_live_core::base64::encode(b"", &mut []).expect("nothing fits into nothing");

    let mut messages = 0;
    let count = allocations(|| {
        for _ in 0..ROUNDS {
            for (block, channels) in blocks.iter().flat_map(|block| [(block, 1), (block, 2)]) {
                let block = Interleaved::new(block, channels).expect("even");
                messages += encoder
                    .encode_into(&block, &mut out)
                    .expect("room for forty");
            }
        }
    });
    let samples = (ROUNDS * (6_602 + 3_301) * 16_000_usize).div_ceil(rate_hz as usize);
    assert_eq!(messages * 320 + encoder.pending_samples(), samples);
    assert_eq!(count, 0);
}

#[test]
fn encode_into_allocates_nothing() {
    stream(1_i16, 16_000);
    stream(1_i32, 16_000);
    stream(1_u8, 16_000);
    stream(0.1_f32, 16_000);
    stream(0.1_f64, 16_000);
}

#[test]
fn resampling_allocates_nothing() {
    stream(1_i16, 44_100);
    stream(0.1_f32, 48_000);
    stream(MuLaw(1), 8_000);
    stream(1_i32, 47_999);
}

#[test]
fn frames_are_parsed_without_allocating() {
    let audio = [&[0x82, 126, 0x0e, 0x00][..], &[b'x'; 0x0e00]].concat(); // a message of 80 ms
    let fragments = [&[0x02, 1, b'a'][..], &[0x89, 1, b'p'], &[0x80, 1, b'b']].concat();
    let stream = [audio.clone(), fragments, audio].concat();
    let mut parser = Parser::new(100_000);
    let mut items = 0;
    let mut feed = || {
        for piece in stream.chunks(1_000) {
            parser.buffer().extend_from_slice(piece);
            while parser.next().is_some() {
                items += 1;
            }
        }
    };
    feed();
    let count = allocations(|| (0..100).for_each(|_| feed()));
    assert_eq!(items, 101 * 4);
    assert_eq!(count, 0);
}

#[test]
fn the_memory_of_a_long_message_is_given_back() {
    let long = [
        &[0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 0][..],
        &vec![b'x'; 1 << 20],
    ]
    .concat();
    let mut fragmented = [&[0x02, 0][..], &long].concat();
    fragmented[2] = 0x80; // what was a message is the last fragment
    let before = HELD_BYTES.get();
    let mut parser = Parser::new(2_000_000);
    for stream in [&long, &fragmented] {
        let mut messages = 0;
        for piece in stream.chunks(65_536) {
            parser.buffer().extend_from_slice(piece);
            while parser.next().is_some() {
                messages += 1;
            }
            let held = HELD_BYTES.get() - before;
            assert!(held < 4 << 20, "{held}: both buffers, half empty at worst");
        }
        assert_eq!(messages, 1);
        let held = HELD_BYTES.get() - before;
        assert!(held <= 2 * 65_536, "{held}");
    }
}
