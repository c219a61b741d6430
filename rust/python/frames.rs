//! WebSocket frames for Python: whole ones out, a stream of them in.

use std::cell::Cell;
use std::mem;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView};

use super::Count;
use crate::buffer::{append_bytes, new_bytes, viewed, with_bytes};
use crate::mask;
use crate::websocket::{self, Item, Parser};

#[pyfunction]
#[pyo3(signature = (opcode, payload, /))]
pub fn encode_frame<'py>(
    opcode: Count,
    payload: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    use websocket::opcode::{BINARY, CLOSE, PING, PONG, TEXT};
    let opcode = opcode
        .0
        .and_then(|opcode| u8::try_from(opcode).ok())
        .filter(|opcode| matches!(*opcode, TEXT | BINARY | CLOSE | PING | PONG))
        .ok_or_else(|| PyValueError::new_err("opcode must be 1, 2, 8, 9 or 10"))?;
    with_bytes(payload, "payload", |payload_bytes| {
        if opcode >= CLOSE && payload_bytes.len() > websocket::MAX_CONTROL_BYTES {
            return Err(PyValueError::new_err(format!(
                "a control frame holds up to {} bytes, not {}",
                websocket::MAX_CONTROL_BYTES,
                payload_bytes.len()
            )));
        }
        let key = mask::new_key()?;
        let length = websocket::frame_bytes(payload_bytes.len());
        new_bytes(payload.py(), length, |frame| {
            if let Some(place) = frame.get_mut(length - payload_bytes.len()..) {
                place.copy_from_slice(payload_bytes);
            }
            // as long as it must be, by construction
            websocket::finish_frame(opcode, key, payload_bytes.len(), frame)
                .ok_or_else(|| PyBufferError::new_err("the frame is too short"))
        })
    })
}

#[pyfunction]
#[pyo3(signature = (frame, /))]
pub fn unmask<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    with_bytes(frame, "frame", |bytes| {
        websocket::unmask(bytes)
            .map(|(_, payload)| PyBytes::new(frame.py(), &payload))
            .ok_or_else(|| PyValueError::new_err("not one whole masked WebSocket frame"))
    })
}

/// `os.register_at_fork`, where there are forks: a child must not mask with its parent's keys.
pub fn discard_keys_after_fork(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let os = py.import(intern!(py, "os"))?;
    if let Ok(register) = os.getattr(intern!(py, "register_at_fork")) {
        let forked = wrap_pyfunction!(forked, module)?;
        let arguments = PyDict::new(py);
        arguments.set_item(intern!(py, "after_in_child"), forked)?;
        register.call((), Some(&arguments))?;
    }
    Ok(())
}

#[pyfunction]
fn forked() {
    mask::forked();
}

#[pyclass(frozen, get_all, module = "gemini_live._core")]
pub struct Ping {
    payload: Py<PyBytes>,
}

#[pyclass(frozen, get_all, module = "gemini_live._core")]
pub struct Pong {
    payload: Py<PyBytes>,
}

#[pyclass(frozen, get_all, module = "gemini_live._core")]
pub struct Close {
    code: Option<u16>,
    reason: String,
}

#[pyclass(frozen, get_all, module = "gemini_live._core")]
pub struct Violation {
    code: u16,
    reason: &'static str,
}

thread_local! {
    /// What the readers of a thread copy into by turns, as mostly nothing of a read is left over: so it stays in the
    /// processor's cache, where the memory of one connection among many would not.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[pyclass(frozen, module = "gemini_live._core")]
pub struct FrameReader {
    parser: Mutex<Parser>,
}

#[pymethods]
impl FrameReader {
    #[new]
    #[pyo3(signature = (max_message_bytes))]
    fn new(max_message_bytes: usize) -> Self {
        Self {
            parser: Mutex::new(Parser::new(max_message_bytes)),
        }
    }

    #[pyo3(signature = (buffer, size, /))]
    fn feed<'py>(&self, buffer: &Bound<'py, PyAny>, size: usize) -> PyResult<Bound<'py, PyList>> {
        let py = buffer.py();
        // A class in Python may lend its memory (PEP 688), by code that may come here: so it is borrowed before the lock
        // is taken, and given back after that. What a connection has is a `memoryview`, which runs no such code.
        let view;
        let lent = if buffer.is_exact_instance_of::<PyMemoryView>() {
            buffer
        } else {
            view = viewed(buffer)?;
            &view
        };
        let mut items = Vec::<Bound<'py, PyAny>>::new();
        {
            let mut parser = self
                .parser
                .lock_py_attached(py)
                .unwrap_or_else(PoisonError::into_inner);
            let unread = parser.buffer();
            if unread.is_empty() {
                *unread = ROOM.take();
            }
            append_bytes(lent, buffer, size, unread)?;
            while let Some(item) = parser.next() {
                items.push(match item {
                    Item::Message(message) => PyBytes::new(py, message).into_any(),
                    Item::Ping(payload) => {
                        let payload = PyBytes::new(py, payload).unbind();
                        Bound::new(py, Ping { payload })?.into_any()
                    }
                    Item::Pong(payload) => {
                        let payload = PyBytes::new(py, payload).unbind();
                        Bound::new(py, Pong { payload })?.into_any()
                    }
                    Item::Close(code, reason) => {
                        let reason = reason.to_owned();
                        Bound::new(py, Close { code, reason })?.into_any()
                    }
                    Item::Violation(websocket::Violation { code, reason }) => {
                        Bound::new(py, Violation { code, reason })?.into_any()
                    }
                });
            }
            let unread = parser.buffer();
            if unread.is_empty() {
                ROOM.set(mem::take(unread));
            }
        }
        // made after the lock is given back, as in `AudioEncoder.encode`
        PyList::new(py, items)
    }
}
