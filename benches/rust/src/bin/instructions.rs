//! `instructions CASE N` runs a case of the core N times, for callgrind to count; without arguments it lists the cases.
//!
//! `benches/instructions.py` subtracts a run of fewer calls from one of more, so that nothing but the calls counts.

use std::hint::black_box;
use std::process::ExitCode;

use gemini_live_benches as cases;

const CASES: [&str; 8] = [
    "encode_20ms_int16",
    "encode_100ms_int16",
    "encode_20ms_float32",
    "encode_20ms_float32_stereo",
    "encode_image_100kb",
    "decode_40ms",
    "base64_encode_640",
    "unmask_20ms",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(case), Some(calls)) = (
        arguments.next(),
        arguments.next().and_then(|text| text.parse::<u32>().ok()),
    ) else {
        cases::check(); // what gives something else need not be counted
        println!("{}", CASES.join("\n"));
        return ExitCode::SUCCESS;
    };
    if run(&case, calls) {
        ExitCode::SUCCESS
    } else {
        eprintln!("no case {case:?}; without arguments they are listed");
        ExitCode::FAILURE
    }
}

fn repeat(calls: u32, mut action: impl FnMut()) {
    for _ in 0..calls {
        action();
    }
}

fn run(case: &str, calls: u32) -> bool {
    match case {
        "encode_20ms_int16" => encode(cases::samples(320), 1, calls),
        "encode_100ms_int16" => encode(cases::samples(1_600), 1, calls),
        "encode_20ms_float32" => encode(cases::floats(320), 1, calls),
        "encode_20ms_float32_stereo" => encode(cases::floats(640), 2, calls),
        "encode_image_100kb" => {
            let mut image = cases::CoreImage::default();
            repeat(calls, || {
                black_box(image.run());
            });
        }
        "decode_40ms" => {
            let message = cases::server_message();
            let mut pcm = vec![0; cases::MESSAGE_BYTES];
            repeat(calls, || {
                black_box(cases::core_decode(black_box(message.as_bytes()), &mut pcm));
            });
        }
        "base64_encode_640" => {
            let pcm = cases::noise(640);
            let mut text = vec![0; 856];
            repeat(calls, || {
                cases::core_base64(black_box(&pcm), black_box(&mut text));
            });
        }
        "unmask_20ms" => {
            let mut encode = cases::CoreEncode::new(cases::samples(320), 1);
            let frame = encode.run().to_vec();
            repeat(calls, || {
                black_box(cases::unmask(black_box(&frame)));
            });
        }
        _ => return false,
    }
    true
}

fn encode<T: gemini_live_core::pcm::Sample>(block: Vec<T>, channels: usize, calls: u32) {
    let mut encode = cases::CoreEncode::new(block, channels);
    repeat(calls, || {
        black_box(encode.run());
    });
}
