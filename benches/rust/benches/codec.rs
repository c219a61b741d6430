//! The core against the published crate `gemini-live`: `cargo bench --manifest-path benches/rust/Cargo.toml`.
#![allow(missing_docs)] // of what criterion's macros make

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gemini_live::audio::AudioEncoder;
use gemini_live_benches as cases;

fn encode(criterion: &mut Criterion) {
    cases::check();
    for chunk_ms in [20, 40, 100] {
        let mut group = criterion.benchmark_group(format!("encode {chunk_ms} ms of int16"));
        let block = cases::samples(16 * chunk_ms);
        let pcm: Vec<u8> = block.iter().flat_map(|one| one.to_le_bytes()).collect();
        group.throughput(Throughput::Bytes(pcm.len() as u64));
        let mut core = cases::CoreEncode::new(block, 1);
        group.bench_function("core, masked frame", |bencher| {
            bencher.iter(|| black_box(core.run()).len());
        });
        let mut encoder = AudioEncoder::new();
        group.bench_function("gemini-live crate, no frame", |bencher| {
            bencher.iter(|| cases::crate_encode(&mut encoder, black_box(&pcm)));
        });
        group.finish();
    }
    let mut group = criterion.benchmark_group("encode 20 ms of float32");
    let block = cases::floats(cases::CHUNK_SAMPLES);
    let mut core = cases::CoreEncode::new(block.clone(), 1);
    group.bench_function("core, masked frame", |bencher| {
        bencher.iter(|| black_box(core.run()).len());
    });
    let mut encoder = AudioEncoder::new();
    group.bench_function("gemini-live crate, no frame", |bencher| {
        bencher.iter(|| cases::crate_encode_floats(&mut encoder, black_box(&block)));
    });
    group.finish();
    let mut core = cases::CoreEncode::new(cases::floats(2 * cases::CHUNK_SAMPLES), 2);
    criterion.bench_function(
        "encode 20 ms of stereo float32/core, masked frame",
        |bencher| {
            bencher.iter(|| black_box(core.run()).len());
        },
    );
    let mut core = cases::CoreImage::default();
    criterion.bench_function("encode 100 KB image/core, masked frame", |bencher| {
        bencher.iter(|| black_box(core.run()).len());
    });
}

fn decode(criterion: &mut Criterion) {
    let message = cases::server_message();
    let mut group = criterion.benchmark_group("decode 40 ms");
    group.throughput(Throughput::Bytes(message.len() as u64));
    let mut pcm = vec![0; cases::MESSAGE_BYTES];
    group.bench_function("core", |bencher| {
        bencher.iter(|| cases::core_decode(black_box(message.as_bytes()), &mut pcm));
    });
    group.bench_function("gemini-live crate", |bencher| {
        bencher.iter(|| cases::crate_decode(black_box(&message)));
    });
    group.finish();
}

criterion_group! {
    name = codec;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = encode, decode
}
criterion_main!(codec);
