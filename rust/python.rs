//! The binding: types, signatures, error mapping. `_core.pyi` is its contract and has the documentation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyBufferError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::base64::{self, TooSmall};
use crate::buffer::{Fault, with_bytes, with_samples, with_writable_bytes};
use crate::decode::ModelAudio;
use crate::encoder::{Encoder, MAX_RATE_HZ, Message};
use crate::envelope::Envelope;
use crate::pcm::Block;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::{AudioEncoder, decode_audio, decode_base64, encode_video};

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

impl From<TooSmall> for PyErr {
    fn from(error: TooSmall) -> Self {
        PyBufferError::new_err(format!("out is too small: {error}"))
    }
}

/// An int of any size; those that no field can hold are `None`, so that they are a `ValueError` like all out of range.
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

/// The message in a `bytes` object of exactly its length, filled once.
fn to_bytes<'py>(py: Python<'py>, message: Message<'_>) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, message.message_bytes(), |out| {
        message.write(out)?;
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
        let checked = |name, count: Count| match count.0 {
            Some(count @ 1..=MAX_RATE_HZ) => Ok(count),
            Some(count) => Err(PyValueError::new_err(format!(
                "{name} must be 1 to {MAX_RATE_HZ}, not {count}"
            ))),
            None => Err(PyValueError::new_err(format!(
                "{name} must be 1 to {MAX_RATE_HZ}"
            ))),
        };
        let rate_hz = checked("rate_hz", rate_hz)?;
        let chunk_samples = checked("chunk_samples", chunk_samples)?;
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
    fn message_bytes(&self, py: Python<'_>) -> usize {
        self.lock(py).message_bytes()
    }

    #[getter]
    fn pending_samples(&self, py: Python<'_>) -> usize {
        self.lock(py).pending_samples()
    }

    #[getter]
    fn nan_samples(&self, py: Python<'_>) -> u64 {
        self.lock(py).defects().nan
    }

    #[getter]
    fn clipped_samples(&self, py: Python<'_>) -> u64 {
        self.lock(py).defects().clipped
    }

    #[pyo3(signature = (block, /))]
    fn encode<'py>(&self, block: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let py = block.py();
        with_samples(block, |samples| {
            // The tuple is made after the lock is given back: making one may start the garbage collector, which may
            // run a finaliser, which may come here.
            let mut encoder = self.lock(py);
            if encoder.messages(samples.samples()) == 1 {
                // By far the most frequent case needs no list.
                let mut only = None;
                encoder.encode(samples, |message| {
                    only = Some(to_bytes(py, message)?);
                    Ok::<_, PyErr>(())
                })?;
                drop(encoder);
                return PyTuple::new(py, only.as_slice());
            }
            let mut messages = Vec::new();
            encoder.encode(samples, |message| {
                messages.push(to_bytes(py, message)?);
                Ok::<_, PyErr>(())
            })?;
            drop(encoder);
            PyTuple::new(py, messages)
        })
    }

    #[pyo3(signature = (block, out, /))]
    fn encode_into(&self, block: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<usize> {
        with_samples(block, |samples| {
            with_writable_bytes(out, samples, |out| {
                Ok(self.lock(block.py()).encode_into(samples, out)?)
            })
        })
    }

    #[pyo3(signature = ())]
    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.lock(py).flush(|message| to_bytes(py, message))
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
        PyBytes::new_with(
            image.py(),
            envelope.message_bytes(image_bytes.len()),
            |out| {
                envelope.write(image_bytes, out)?;
                Ok(())
            },
        )
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
    let bytes = PyBytes::new_with(py, length, |out| {
        filled = fill(out);
        Ok(())
    })?;
    Ok(filled.is_some().then_some(bytes))
}
