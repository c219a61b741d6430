//! The binding: types, signatures, error mapping. `_core.pyi` is its contract and has the documentation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyBufferError, PyOSError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::base64::{self, TooSmall};
use crate::buffer::{
    Encoding, Fault, Layout, new_bytes, with_bytes, with_samples, with_writable_bytes,
};
use crate::decode::ModelAudio;
use crate::encoder::{Encoder, MAX_CHUNK_SAMPLES, Message, NotTaken};
use crate::envelope::Envelope;
use crate::mask::{self, NoEntropy};
use crate::pcm::{Block, Defects, SAMPLE_BYTES};
use crate::resample::{MAX_RATE_HZ, MIN_RATE_HZ, Resampler as Filter};

mod frames;

#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::{AudioEncoder, Resampler, decode_audio, decode_base64, encode_video};

    #[pymodule_export]
    use super::frames::{Close, FrameReader, Ping, Pong, Violation, encode_frame, unmask};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::frames::discard_keys_after_fork(module)
    }

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    const BUILD_PROFILE: &str = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Type(message) => PyTypeError::new_err(message),
            Fault::Value(message) => PyValueError::new_err(message),
            Fault::Buffer(message) => PyBufferError::new_err(message),
            Fault::Raised(error) => error,
        }
    }
}

impl From<NoEntropy> for PyErr {
    fn from(_: NoEntropy) -> Self {
        PyOSError::new_err(
            "the operating system gives no random numbers, and frames must be masked",
        )
    }
}

impl From<NotTaken> for PyErr {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::TooSmall(error) => error.into(),
            NotTaken::NoEntropy(error) => error.into(),
        }
    }
}

impl From<TooSmall> for PyErr {
    fn from(error: TooSmall) -> Self {
        PyBufferError::new_err(format!("out is too small: {error}"))
    }
}

/// An int of any size; those that no field can hold are `None`, so that they are a `ValueError` like all out of range.
#[derive(Clone, Copy)]
struct Count(Option<u32>);

impl<'py> FromPyObject<'_, 'py> for Count {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<u32>() {
            Ok(count) => Ok(Self(Some(count))),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }
}

impl Count {
    fn within(self, name: &str, least: u32, most: u32) -> PyResult<u32> {
        match self.0 {
            Some(count) if (least..=most).contains(&count) => Ok(count),
            other => Err(PyValueError::new_err(format!(
                "{name} must be {least} to {most}{}",
                other.map_or_else(String::new, |count| format!(", not {count}"))
            ))),
        }
    }
}

/// One of a few words, of which `requirement` says what they are.
fn word<T>(
    object: Borrowed<'_, '_, PyAny>,
    requirement: &str,
    meaning: impl FnOnce(&str) -> Option<T>,
) -> PyResult<T> {
    let Ok(word) = object.cast::<PyString>() else {
        let given = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!("{requirement}, not {given}")));
    };
    let word = word.to_str()?;
    meaning(word).ok_or_else(|| PyValueError::new_err(format!("{requirement}, not {word:?}")))
}

impl FromPyObject<'_, '_> for Layout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        // The literals of a program are interned, so the common case is a comparison of pointers.
        if object.is(intern!(object.py(), "channels_last")) {
            return Ok(Self::ChannelsLast);
        }
        word(
            object,
            "layout must be \"channels_last\", (n, channels), or \"channels_first\", (channels, n)",
            |word| match word {
                "channels_last" => Some(Self::ChannelsLast),
                "channels_first" => Some(Self::ChannelsFirst),
                _ => None,
            },
        )
    }
}

impl FromPyObject<'_, '_> for Encoding {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if object.is(intern!(object.py(), "pcm")) {
            return Ok(Self::Pcm);
        }
        word(
            object,
            "encoding must be \"pcm\", \"mulaw\" or \"alaw\"",
            |word| match word {
                "pcm" => Some(Self::Pcm),
                "mulaw" => Some(Self::MuLaw),
                "alaw" => Some(Self::ALaw),
                _ => None,
            },
        )
    }
}

#[pyclass(frozen, module = "gemini_live._core")]
struct AudioEncoder {
    /// `frozen` and a lock inside: with `&mut self`, a second thread would get "already borrowed".
    encoder: Mutex<Encoder>,
}

impl AudioEncoder {
    /// An encoder is never left half changed, so a panic of another thread (there is none to be expected) is no reason
    /// to refuse service. While waiting, the thread is detached: the holder may need the interpreter to go on.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Encoder> {
        self.encoder
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message's frame in a `bytes` object of exactly its length, filled once.
fn to_frame<'py>(py: Python<'py>, message: Message<'_>) -> PyResult<Bound<'py, PyBytes>> {
    let key = mask::new_key()?;
    new_bytes(py, message.frame_bytes(), |out| {
        message.write_frame(key, out)?;
        Ok(())
    })
}

#[pymethods]
impl AudioEncoder {
    #[new]
    #[pyo3(
        signature = (rate_hz = Count(Some(16_000)), chunk_samples = Count(Some(320))),
        text_signature = "(rate_hz=16000, chunk_samples=320)"
    )]
    fn new(rate_hz: Count, chunk_samples: Count) -> PyResult<Self> {
        let rate_hz = rate_hz.within("rate_hz", MIN_RATE_HZ, MAX_RATE_HZ)?;
        let chunk_samples = chunk_samples.within("chunk_samples", 1, MAX_CHUNK_SAMPLES)?;
        let encoder = Encoder::new(rate_hz, chunk_samples)
            .ok_or_else(|| PyValueError::new_err("rate_hz or chunk_samples is out of range"))?;
        Ok(Self {
            encoder: Mutex::new(encoder),
        })
    }

    #[getter]
    fn rate_hz(&self, py: Python<'_>) -> u32 {
        self.lock(py).rate_hz()
    }

    #[getter]
    fn chunk_samples(&self, py: Python<'_>) -> usize {
        self.lock(py).chunk_samples()
    }

    #[getter]
    fn frame_bytes(&self, py: Python<'_>) -> usize {
        self.lock(py).frame_bytes()
    }

    #[getter]
    fn pending_samples(&self, py: Python<'_>) -> usize {
        self.lock(py).pending_samples()
    }

    #[getter]
    fn delay_s(&self, py: Python<'_>) -> f64 {
        self.lock(py).delay_s()
    }

    #[getter]
    fn nan_samples(&self, py: Python<'_>) -> u64 {
        self.lock(py).defects().nan
    }

    #[getter]
    fn clipped_samples(&self, py: Python<'_>) -> u64 {
        self.lock(py).defects().clipped
    }

    #[pyo3(
        signature = (block, layout = Layout::ChannelsLast, encoding = Encoding::Pcm, /),
        text_signature = "($self, block, layout='channels_last', encoding='pcm', /)"
    )]
    fn encode<'py>(
        &self,
        block: &Bound<'py, PyAny>,
        layout: Layout,
        encoding: Encoding,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = block.py();
        with_samples(block, layout, encoding, |samples| {
            // The tuple is made after the lock is given back: making one may start the garbage collector, which may
            // run a finaliser, which may come here.
            let mut encoder = self.lock(py);
            if samples.samples() >= LONG_BLOCK {
                let frame_bytes = encoder.frame_bytes();
                let messages = encoder.messages(samples.samples());
                let held: &mut Encoder = &mut encoder; // a guard must not change threads, and what is detached might
                // In Python's memory, as a `Vec` for which there is no room would not raise, but end the process.
                let frames = new_bytes(py, messages.saturating_mul(frame_bytes), |frames| {
                    py.detach(|| held.encode_into(samples, frames))?;
                    Ok(())
                })?;
                drop(encoder);
                return PyTuple::new(
                    py,
                    frames
                        .as_bytes()
                        .chunks_exact(frame_bytes)
                        .map(|frame| PyBytes::new(py, frame))
                        .collect::<Vec<_>>(),
                );
            }
            if encoder.messages(samples.samples()) == 1 {
                // By far the most frequent case needs no list.
                let mut only = None;
                encoder.encode(samples, |message| {
                    only = Some(to_frame(py, message)?);
                    Ok::<_, PyErr>(())
                })?;
                drop(encoder);
                return PyTuple::new(py, only.as_slice());
            }
            let mut messages = Vec::new();
            encoder.encode(samples, |message| {
                messages.push(to_frame(py, message)?);
                Ok::<_, PyErr>(())
            })?;
            drop(encoder);
            PyTuple::new(py, messages)
        })
    }

    #[pyo3(
        signature = (block, out, layout = Layout::ChannelsLast, encoding = Encoding::Pcm, /),
        text_signature = "($self, block, out, layout='channels_last', encoding='pcm', /)"
    )]
    fn encode_into(
        &self,
        block: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
        layout: Layout,
        encoding: Encoding,
    ) -> PyResult<usize> {
        with_samples(block, layout, encoding, |samples| {
            with_writable_bytes(out, samples, |out| {
                Ok(self.lock(block.py()).encode_into(samples, out)?)
            })
        })
    }

    #[pyo3(signature = ())]
    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.lock(py).flush(|message| to_frame(py, message))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let encoder = self.lock(py);
        format!(
            "AudioEncoder(rate_hz={}, chunk_samples={})",
            encoder.rate_hz(),
            encoder.chunk_samples()
        )
    }
}

/// From so many input samples on, the GIL is given up: some 150 µs of work. To get it back from a busy thread takes up to
/// a switch interval, 5 ms, which no callback's block must pay.
const LONG_BLOCK: usize = 48_000;

#[pyclass(frozen, module = "gemini_live._core")]
struct Resampler {
    stream: Mutex<Stream>,
    rate_in_hz: u32,
    rate_out_hz: u32,
    delay_s: f64,
}

/// What a resampler has become by what it was fed.
struct Stream {
    filter: Filter,
    defects: Defects,
}

impl Resampler {
    /// See [`AudioEncoder::lock`].
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Stream> {
        self.stream
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Resampler {
    #[new]
    #[pyo3(
        signature = (rate_in_hz, rate_out_hz),
        text_signature = "(rate_in_hz, rate_out_hz)"
    )]
    fn new(rate_in_hz: Count, rate_out_hz: Count) -> PyResult<Self> {
        let rate_in_hz = rate_in_hz.within("rate_in_hz", MIN_RATE_HZ, MAX_RATE_HZ)?;
        let rate_out_hz = rate_out_hz.within("rate_out_hz", MIN_RATE_HZ, MAX_RATE_HZ)?;
        let filter = Filter::new(rate_in_hz, rate_out_hz)
            .ok_or_else(|| PyValueError::new_err("a rate is out of range"))?;
        Ok(Self {
            delay_s: filter.delay_s(),
            stream: Mutex::new(Stream {
                filter,
                defects: Defects::default(),
            }),
            rate_in_hz,
            rate_out_hz,
        })
    }

    #[getter]
    fn rate_in_hz(&self) -> u32 {
        self.rate_in_hz
    }

    #[getter]
    fn rate_out_hz(&self) -> u32 {
        self.rate_out_hz
    }

    #[getter]
    fn delay_s(&self) -> f64 {
        self.delay_s
    }

    #[getter]
    fn nan_samples(&self, py: Python<'_>) -> u64 {
        self.lock(py).defects.nan
    }

    #[getter]
    fn clipped_samples(&self, py: Python<'_>) -> u64 {
        self.lock(py).defects.clipped
    }

    #[pyo3(
        signature = (block, layout = Layout::ChannelsLast, encoding = Encoding::Pcm, /),
        text_signature = "($self, block, layout='channels_last', encoding='pcm', /)"
    )]
    fn feed<'py>(
        &self,
        block: &Bound<'py, PyAny>,
        layout: Layout,
        encoding: Encoding,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = block.py();
        with_samples(block, layout, encoding, |samples| {
            let mut held = self.lock(py);
            let stream: &mut Stream = &mut held; // a guard must not change threads, and what is detached might
            let outputs = stream.filter.outputs(samples.samples());
            // more than there can be, at the saturation
            new_bytes(py, outputs.saturating_mul(SAMPLE_BYTES), |pcm| {
                let mut feed = || stream.defects += stream.filter.feed(samples, pcm);
                if samples.samples() < LONG_BLOCK {
                    feed();
                } else {
                    py.detach(feed);
                }
                Ok(())
            })
        })
    }

    #[pyo3(signature = ())]
    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut held = self.lock(py);
        let stream: &mut Stream = &mut held;
        new_bytes(py, stream.filter.tail() * SAMPLE_BYTES, |pcm| {
            stream.defects += stream.filter.flush(pcm);
            Ok(())
        })
    }

    fn __repr__(&self) -> String {
        format!(
            "Resampler(rate_in_hz={}, rate_out_hz={})",
            self.rate_in_hz, self.rate_out_hz
        )
    }
}

// A 100 KB image takes some 15 µs. Giving up the GIL would pay for work of milliseconds only: to get it back from a busy
// thread takes up to a switch interval, 5 ms.
#[pyfunction]
#[pyo3(signature = (image, mime_type, /))]
fn encode_video<'py>(image: &Bound<'py, PyAny>, mime_type: &str) -> PyResult<Bound<'py, PyBytes>> {
    let envelope = Envelope::video(mime_type).ok_or_else(|| {
        PyValueError::new_err(format!(
            "a MIME type such as image/jpeg is wanted, not {mime_type:?}"
        ))
    })?;
    with_bytes(image, "image", |image_bytes| {
        if image_bytes.is_empty() {
            return Err(PyValueError::new_err("the image is empty"));
        }
        let key = mask::new_key()?;
        new_bytes(image.py(), envelope.frame_bytes(image_bytes.len()), |out| {
            envelope.write_frame(image_bytes, key, out)?;
            Ok(())
        })
    })
}

#[pyfunction]
#[pyo3(signature = (message, /))]
fn decode_audio<'py>(message: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyBytes>, u32)>> {
    let py = message.py();
    with_bytes(message, "message", |message| {
        let Some(audio) = ModelAudio::recognise(message) else {
            return Ok(None);
        };
        let Some(length) = audio.pcm_bytes() else {
            return Ok(None);
        };
        let pcm = filled_if(py, length, |out| audio.write_pcm(out))?;
        Ok(pcm.map(|pcm| (pcm, audio.rate_hz())))
    })
}

#[pyfunction]
#[pyo3(signature = (text, /))]
fn decode_base64<'py>(text: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = text.py();
    let text = if let Ok(bytes) = text.cast::<PyBytes>() {
        bytes.as_bytes()
    } else if let Ok(string) = text.cast::<PyString>() {
        match string.to_str() {
            Ok(text) => text.as_bytes(),
            Err(_) => return Ok(None), // a lone surrogate, which is not base64 either
        }
    } else {
        return Err(Fault::Type(format!(
            "text must be bytes or str, not {}",
            text.get_type().name()?
        ))
        .into());
    };
    let Some(length) = base64::decoded_len(text) else {
        return Ok(None);
    };
    filled_if(py, length, |out| base64::decode(text, out))
}

/// `bytes` of exactly `length`, unless `fill` gives up.
fn filled_if(
    py: Python<'_>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let mut filled = None;
    let bytes = new_bytes(py, length, |out| {
        filled = fill(out);
        Ok(())
    })?;
    Ok(filled.is_some().then_some(bytes))
}
