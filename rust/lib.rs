//! The hot path of the `gemini-live` Python package: what every audio chunk passes through.
//!
//! It knows two shapes and no more, `realtimeInput` with one blob on the way out and `inlineData` audio on the way in;
//! all other JSON is Python's, so that a new field of the API never needs a new build.
//!
//! ```text
//! out   Block ──pcm──▶ s16le ──encoder──▶ chunk ──base64──▶ text ──envelope──▶ message ──websocket──▶ masked frame
//! in    bytes ──websocket──▶ message ──decode──▶ text ──base64──▶ s16le
//! ```
//!
//! | module     | subject                                                             |
//! |------------|---------------------------------------------------------------------|
//! | [`g711`]   | the telephone's eight bits                                          |
//! | [`pcm`]    | sample formats to 16 bits: downmix, rounding, saturation, NaN       |
//! | [`base64`] | exact lengths; encode and decode into the caller's slice            |
//! | [`envelope`] | the `realtimeInput` JSON around base64, written once              |
//! | `filter`   | the low-pass for a pair of rates: design, and tables for all to share |
//! | [`resample`] | from one sample rate to another: a streaming polyphase FIR    |
//! | [`encoder`] | cuts blocks into chunks, carries the rest over                     |
//! | [`mask`]   | keys from the operating system's generator, and the XOR              |
//! | [`websocket`] | frames out, and a stream of frames in                            |
//! | [`decode`] | recognises the hot server message; leaves every other one alone     |
//! | `buffer`   | Python's buffer protocol: every `unsafe` but that of `base64::vbmi` |
//! | `python`   | the binding                                                         |
//!
//! A *block* is the array the user gave, a *chunk* is one audio payload on the wire, a *sample* is per channel.
//!
//! Without the feature `python` this is an ordinary crate; `cargo test` needs no interpreter.

pub mod base64;
pub mod decode;
pub mod encoder;
pub mod envelope;
mod filter;
pub mod g711;
pub mod mask;
pub mod pcm;
pub mod resample;
pub mod websocket;

#[cfg(feature = "python")]
mod buffer;
#[cfg(feature = "python")]
mod python;
