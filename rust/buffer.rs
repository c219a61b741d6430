//! Python's buffer protocol (PEP 3118): blocks read in any memory layout, messages written into the caller's memory.
//!
//! What its `unsafe` is for: `PyO3` has `PyBuffer`, which puts its `Py_buffer` on the heap: an allocation in each
//! call, where `encode_into` promises none, and 15–30 ns more than a `Py_buffer` on the stack.
//!
//! The rules that make it sound:
//!
//! - A `Py_buffer` stays where `PyObject_GetBuffer` filled it, since its `shape` may point into itself (that is so for
//!   `bytes`), and is released when the borrowing function returns. Hence functions that take a closure; no pointer
//!   outlives its call.
//! - The memory belongs to Python and another thread may write to it while it is read, at any time on a free-threaded
//!   interpreter, and from native code that holds no GIL on every other. Samples are therefore copied out, by plain
//!   reads through raw pointers, into scratch memory of ours before anything looks at their values. No reference to
//!   typed data is ever made; a race can give wrong samples, nothing worse.
//! - `&[u8]` is made of immutable `bytes` only. `&mut [u8]` is made of `out`, which the caller lends for the call.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr;
use std::slice;

use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use pyo3::{ffi, intern, prelude::*};

use crate::g711::{ALaw, MuLaw};
use crate::pcm::{Block, Defects, F16, MAX_CHANNELS, SAMPLE_BYTES, Sample, Swapped, convert, mix};

/// Why an object is not taken. The binding turns it into an exception.
pub enum Fault {
    /// The object is of a wrong type, or its items are.
    Type(String),
    /// Its type is right, its shape is not.
    Value(String),
    /// It cannot be written to.
    Buffer(String),
    /// The object's own exception.
    Raised(PyErr),
}

/// Borrow the buffer of `object`, which is called `role` in error messages and holds `accepted`, for the duration of
/// `action`.
fn with_buffer<R>(
    object: &Bound<'_, PyAny>,
    role: &str,
    accepted: Option<&str>,
    action: impl FnOnce(&ffi::Py_buffer) -> PyResult<R>,
) -> PyResult<R> {
    struct Held(ffi::Py_buffer);
    impl Drop for Held {
        fn drop(&mut self) {
            // SAFETY: the interpreter is attached, as `object` is bound; the struct was filled by `PyObject_GetBuffer`
            // or has a null `obj`, with which nothing happens.
            unsafe { ffi::PyBuffer_Release(&raw mut self.0) }
        }
    }

    let mut held = Held(ffi::Py_buffer::new());
    // SAFETY: both pointers are valid, and `held` is not moved from here on.
    let status =
        unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut held.0, ffi::PyBUF_RECORDS_RO) };
    if status != 0 {
        let raised = PyErr::fetch(object.py());
        return Err(not_a_buffer(object, role, accepted, raised).into());
    }
    action(&held.0)
}

#[cold]
fn not_a_buffer(
    object: &Bound<'_, PyAny>,
    role: &str,
    accepted: Option<&str>,
    raised: PyErr,
) -> Fault {
    let py = object.py();
    if raised.is_instance_of::<PyMemoryError>(py) || !raised.is_instance_of::<PyException>(py) {
        return Fault::Raised(raised);
    }
    // Exporters differ: no buffer at all is a TypeError, `datetime64` a ValueError, a column of objects a BufferError.
    Fault::Type(format!(
        "{role} must be a buffer such as a NumPy array or bytes, not {}: {}{}",
        type_name(object),
        raised.value(py),
        accepted.map_or_else(String::new, |accepted| format!(
            ". What is accepted: {accepted}"
        )),
    ))
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .name()
        .map_or_else(|_| "this".to_owned(), |name| name.to_string())
}

/// The item format; none means unsigned bytes (PEP 3118).
fn format_of(view: &ffi::Py_buffer) -> &[u8] {
    if view.format.is_null() {
        b"B"
    } else {
        // SAFETY: a non-null format is a C string that lives as long as the buffer is held, and so does `view`.
        unsafe { CStr::from_ptr(view.format) }.to_bytes()
    }
}

/// Length and stride in bytes of an axis, which must be less than `view.ndim`.
fn axis(view: &ffi::Py_buffer, axis: usize) -> Result<(usize, isize), Fault> {
    if view.shape.is_null() {
        return Err(Fault::Type(
            "the buffer does not tell its shape".to_owned(), // though asked for it
        ));
    }
    // SAFETY: a non-null shape has `ndim` items and lives as long as the buffer is held.
    let length = unsafe { *view.shape.add(axis) };
    let stride = if view.strides.is_null() {
        // Without strides, as from ctypes, an array is C-contiguous: an axis steps over all that is behind it.
        (axis + 1..view.ndim.unsigned_abs() as usize).fold(view.itemsize, |stride, behind| {
            // SAFETY: as above.
            stride * unsafe { *view.shape.add(behind) }
        })
    } else {
        // SAFETY: as above.
        unsafe { *view.strides.add(axis) }
    };
    usize::try_from(length)
        .map(|length| (length, stride))
        .map_err(|_| Fault::Type("the buffer has a negative length".to_owned()))
}

/// Which axis of a block with two is that of its channels.
#[derive(Clone, Copy, Default)]
pub enum Layout {
    /// `(n, channels)`.
    #[default]
    ChannelsLast,
    /// `(channels, n)`.
    ChannelsFirst,
}

/// What bytes mean.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Encoding {
    /// As the dtype says; plain bytes are 16-bit little-endian mono.
    #[default]
    Pcm,
    MuLaw,
    ALaw,
}

/// The accepted items.
#[derive(Clone, Copy)]
enum Format {
    /// 16-bit little-endian mono without gaps, as it goes on the wire: to be copied, whatever it means.
    Wire,
    /// Single bytes, two of them a sample as on the wire, but with gaps.
    WireBytes,
    I8,
    I16,
    I32,
    U8,
    U16,
    U32,
    F16,
    F32,
    F64,
    SwappedI16,
    SwappedI32,
    SwappedU16,
    SwappedU32,
    SwappedF16,
    SwappedF32,
    SwappedF64,
    MuLaw,
    ALaw,
}

/// Do something with the type of a format's items; with those of the wire, something else.
macro_rules! by_type {
    ($format:expr, wire => $wire:expr, $type:ident => $action:expr) => {{
        macro_rules! with {
            ($item:ty) => {{
                type $type = $item;
                $action
            }};
        }
        match $format {
            Format::Wire | Format::WireBytes => $wire,
            Format::I8 => with!(i8),
            Format::I16 => with!(i16),
            Format::I32 => with!(i32),
            Format::U8 => with!(u8),
            Format::U16 => with!(u16),
            Format::U32 => with!(u32),
            Format::F16 => with!(F16),
            Format::F32 => with!(f32),
            Format::F64 => with!(f64),
            Format::SwappedI16 => with!(Swapped<i16>),
            Format::SwappedI32 => with!(Swapped<i32>),
            Format::SwappedU16 => with!(Swapped<u16>),
            Format::SwappedU32 => with!(Swapped<u32>),
            Format::SwappedF16 => with!(Swapped<F16>),
            Format::SwappedF32 => with!(Swapped<f32>),
            Format::SwappedF64 => with!(Swapped<f64>),
            Format::MuLaw => with!(MuLaw),
            Format::ALaw => with!(ALaw),
        }
    }};
}

const ACCEPTED: &str = "int8, int16, int32, uint8, uint16, uint32, float16, float32, float64, or bytes of 16-bit \
                        little-endian mono PCM";

impl Format {
    /// From a format string of the `struct` module with one item.
    fn parse(format: &[u8], item_bytes: isize) -> Result<Self, Fault> {
        let foreign: u8 = if cfg!(target_endian = "little") {
            b'>'
        } else {
            b'<'
        };
        let is_foreign = format
            .first()
            .is_some_and(|order| *order == foreign || (*order == b'!' && foreign == b'>'));
        let code = code_of(format);
        match (code, item_bytes, is_foreign) {
            (b"b", 1, _) => Ok(Self::I8),
            (b"B", 1, _) => Ok(Self::U8),
            (b"h", 2, false) => Ok(Self::I16),
            (b"h", 2, true) => Ok(Self::SwappedI16),
            (b"H", 2, false) => Ok(Self::U16),
            (b"H", 2, true) => Ok(Self::SwappedU16),
            // `l` is 32 bits on Windows, and wherever a byte order is stated
            (b"i" | b"l", 4, false) => Ok(Self::I32),
            (b"i" | b"l", 4, true) => Ok(Self::SwappedI32),
            (b"I" | b"L", 4, false) => Ok(Self::U32),
            (b"I" | b"L", 4, true) => Ok(Self::SwappedU32),
            (b"e", 2, false) => Ok(Self::F16),
            (b"e", 2, true) => Ok(Self::SwappedF16),
            (b"f", 4, false) => Ok(Self::F32),
            (b"f", 4, true) => Ok(Self::SwappedF32),
            (b"d", 8, false) => Ok(Self::F64),
            (b"d", 8, true) => Ok(Self::SwappedF64),
            // What arithmetic on smaller integers has left, as a rule, and whose full scale nobody means.
            (b"l" | b"q" | b"L" | b"Q", 8, _) => Err(Fault::Type(format!(
                "{} samples have no full scale in audio; if they are values of 16 bits, pass block.astype(np.int16). \
                 What is accepted: {ACCEPTED}",
                dtype_name(code, item_bytes)
            ))),
            _ => Err(Fault::Type(format!(
                "{} samples are not accepted; what is: {ACCEPTED}",
                dtype_name(code, item_bytes)
            ))),
        }
    }

    /// Of bytes in an encoding of eight bits.
    fn companded(encoding: Encoding, format: &[u8], item_bytes: isize) -> Result<Self, Fault> {
        match (encoding, code_of(format)) {
            (Encoding::MuLaw, b"B") => Ok(Self::MuLaw),
            (Encoding::ALaw, b"B") => Ok(Self::ALaw),
            (_, code) => Err(Fault::Type(format!(
                "samples in mulaw or alaw are bytes, or an array of uint8, not of {}",
                dtype_name(code, item_bytes)
            ))),
        }
    }
}

/// A format without its byte order.
fn code_of(format: &[u8]) -> &[u8] {
    match format {
        [b'@' | b'=' | b'<' | b'>' | b'!', code @ ..] | code => code,
    }
}

/// What `NumPy` calls items of this code.
#[cold]
fn dtype_name(code: &[u8], item_bytes: isize) -> Cow<'_, str> {
    Cow::Borrowed(match (code, item_bytes) {
        (b"?", _) => "bool",
        (b"b", _) => "int8",
        (b"h", _) => "int16",
        (b"H", _) => "uint16",
        (b"i" | b"l", 4) => "int32",
        (b"I" | b"L", 4) => "uint32",
        (b"l" | b"q", 8) => "int64",
        (b"L" | b"Q", 8) => "uint64",
        (b"e", _) => "float16",
        (b"f", _) => "float32",
        (b"d", _) => "float64",
        (b"g", _) => "longdouble",
        (b"Zf", _) => "complex64",
        (b"Zd", _) => "complex128",
        (b"Zg", _) => "clongdouble",
        (b"O", _) => "object",
        (b"c", _) => "single-character",
        ([b'T', ..], _) => "structured",
        _ => return Cow::Owned(format!("{:?}", String::from_utf8_lossy(code))),
    })
}

/// A block in Python's memory: `rows` of `channels` items each.
pub struct Samples<'a> {
    format: Format,
    data: *const u8,
    /// Per channel; never zero, and neither is `channels`.
    rows: usize,
    channels: usize,
    /// In bytes; may be negative, as in `block[::-1]`, or zero, as in a broadcast.
    row_stride: isize,
    channel_stride: isize,
    /// No gaps: a range of samples is one range of memory.
    contiguous: bool,
    held: PhantomData<&'a ffi::Py_buffer>,
}

/// Borrow the samples of `block` for the duration of `action`.
pub fn with_samples<R>(
    block: &Bound<'_, PyAny>,
    layout: Layout,
    encoding: Encoding,
    action: impl FnOnce(&Samples<'_>) -> PyResult<R>,
) -> PyResult<R> {
    with_buffer(block, "block", Some(ACCEPTED), |view| {
        let format = format_of(view);
        let samples = if encoding != Encoding::Pcm {
            Format::companded(encoding, format, view.itemsize)
                .and_then(|format| Samples::of_array(view, format, layout))
        } else if format == b"B" && !says_uint8(block) {
            Samples::of_wire_bytes(view)
        } else {
            Format::parse(format, view.itemsize)
                .and_then(|format| Samples::of_array(view, format, layout))
        };
        action(&samples?)
    })
}

/// Whether the unsigned bytes of `object` are said to be samples by what they belong to, an array of `NumPy` or of the
/// module `array`. All other memory of bytes (`bytes`, `mmap`, what the callback of a raw stream of `PortAudio` is given,
/// an array of something else seen as bytes by a `memoryview`) does not say what is in it, and is taken for what goes on
/// the wire.
fn says_uint8(object: &Bound<'_, PyAny>) -> bool {
    fn is_array_of_bytes(owner: &Bound<'_, PyAny>) -> bool {
        let py = owner.py();
        let item_bytes = owner
            .getattr(intern!(py, "dtype"))
            .and_then(|dtype| dtype.getattr(intern!(py, "itemsize")))
            .and_then(|item_bytes| item_bytes.extract::<usize>());
        let code = || owner.getattr(intern!(py, "typecode"));
        item_bytes.is_ok_and(|bytes| bytes == 1)
            || code().is_ok_and(|code| code.eq("B").is_ok_and(|is_so| is_so))
    }
    if object.is_instance_of::<PyBytes>() || object.is_instance_of::<PyByteArray>() {
        false // as the next lines would say, after two exceptions
    } else if object.is_instance_of::<PyMemoryView>() {
        object
            .getattr(intern!(object.py(), "obj"))
            .is_ok_and(|owner| is_array_of_bytes(&owner))
    } else {
        is_array_of_bytes(object)
    }
}

impl<'a> Samples<'a> {
    fn of_wire_bytes(view: &'a ffi::Py_buffer) -> Result<Self, Fault> {
        if view.ndim != 1 {
            return Err(Fault::Value(format!(
                "raw bytes must have one dimension, not {}",
                view.ndim
            )));
        }
        let (bytes, stride) = axis(view, 0)?;
        if bytes % SAMPLE_BYTES != 0 {
            return Err(Fault::Value(format!(
                "raw bytes are 16-bit samples, but {bytes} is an odd number of bytes"
            )));
        }
        let sample_stride = stride * SAMPLE_BYTES.cast_signed();
        Self::new(
            view,
            Format::WireBytes,
            (bytes / SAMPLE_BYTES, sample_stride),
            (SAMPLE_BYTES, stride),
        )
    }

    fn of_array(view: &'a ffi::Py_buffer, format: Format, layout: Layout) -> Result<Self, Fault> {
        match (view.ndim, layout) {
            (1, _) => Self::new(view, format, axis(view, 0)?, (1, view.itemsize)),
            (2, Layout::ChannelsLast) => Self::new(view, format, axis(view, 0)?, axis(view, 1)?),
            (2, Layout::ChannelsFirst) => Self::new(view, format, axis(view, 1)?, axis(view, 0)?),
            (0, _) => Err(Fault::Value(
                "a single value is not a block; its shape must be (n,), (n, channels), or (channels, n) with \
                 layout=\"channels_first\""
                    .to_owned(),
            )),
            (more, _) => Err(Fault::Value(format!(
                "a block's shape must be (n,), (n, channels), or (channels, n) with layout=\"channels_first\", but this \
                 one has {more} dimensions"
            ))),
        }
    }

    fn new(
        view: &'a ffi::Py_buffer,
        format: Format,
        (rows, row_stride): (usize, isize),
        (channels, channel_stride): (usize, isize),
    ) -> Result<Self, Fault> {
        if channels == 0 {
            return Err(Fault::Value(format!(
                "the block has zero channels of {rows} samples"
            )));
        }
        if rows == 0 {
            return Err(Fault::Value("the block is empty".to_owned()));
        }
        if channels > MAX_CHANNELS {
            return Err(Fault::Value(format!(
                "the block has {channels} channels of {rows} samples, and {MAX_CHANNELS} channels are the most; is its \
                 layout the other one of \"channels_last\", (n, channels), and \"channels_first\", (channels, n)?"
            )));
        }
        // A wire sample is a row of two bytes, and of those `itemsize` is 1: the same rule for both kinds.
        let contiguous =
            channel_stride == view.itemsize && row_stride == view.itemsize * channels.cast_signed();
        let format = match format {
            Format::WireBytes if contiguous => Format::Wire,
            Format::I16 if contiguous && channels == 1 && cfg!(target_endian = "little") => {
                Format::Wire
            }
            other => other,
        };
        Ok(Self {
            format,
            data: view.buf.cast(),
            rows,
            channels,
            row_stride,
            channel_stride,
            contiguous,
            held: PhantomData,
        })
    }

    /// Copy the items of the samples from `start` on into `items`, a whole number of rows.
    ///
    /// # Safety
    ///
    /// `T` has the size of an item and every bit pattern is one of its values; the samples are there. If the block is
    /// contiguous, any such `T` will do of which `items` is as many bytes as are wanted.
    unsafe fn copy_items<T: Copy>(&self, start: usize, items: &mut [T]) {
        // Wrapping, as `offset` may not leave the memory, and nothing may be wanted behind the last sample.
        let first = self
            .data
            .wrapping_offset(start.cast_signed() * self.row_stride);
        if self.contiguous {
            // SAFETY: without gaps the wanted samples are the next bytes, as many as `items` has; `items` is ours, so
            // the two do not overlap. Copied as bytes, so alignment does not matter.
            unsafe {
                ptr::copy_nonoverlapping(
                    first,
                    items.as_mut_ptr().cast::<u8>(),
                    size_of_val(items),
                );
            }
        } else {
            for (sample, row) in items.chunks_exact_mut(self.channels).enumerate() {
                for (channel, item) in row.iter_mut().enumerate() {
                    let offset = sample.cast_signed() * self.row_stride
                        + channel.cast_signed() * self.channel_stride;
                    // SAFETY: the sample is there, so this points into the exporter's memory, which vouches for shape and
                    // strides, not for alignment.
                    *item = unsafe { first.offset(offset).cast::<T>().read_unaligned() };
                }
            }
        }
    }

    /// Hand the items of so many samples to `take`, piece by piece, by way of scratch memory that stays in the
    /// first-level cache; with each piece goes the number of the sample that it begins with, counted from `start`.
    ///
    /// # Safety
    ///
    /// As for [`Self::copy_items`].
    unsafe fn pieces<T: Sample>(
        &self,
        start: usize,
        samples: usize,
        mut take: impl FnMut(&[T], usize) -> Defects,
    ) -> Defects {
        const SCRATCH_ITEMS: usize = 8 * MAX_CHANNELS; // at least eight samples, 2 KiB of float32
        let mut scratch = [T::ZERO; SCRATCH_ITEMS];
        let samples_at_once = SCRATCH_ITEMS / self.channels;
        let mut done = 0;
        let mut defects = Defects::default();
        while done < samples {
            let now = samples_at_once.min(samples - done);
            let items = &mut scratch[..now * self.channels];
            // SAFETY: the caller's promise, for a part of the same samples.
            unsafe { self.copy_items(start + done, items) };
            defects += take(items, done);
            done += now;
        }
        defects
    }

    /// # Safety
    ///
    /// As for [`Self::copy_items`].
    unsafe fn convert<T: Sample>(&self, start: usize, pcm: &mut [u8]) -> Defects {
        let samples = pcm.len() / SAMPLE_BYTES;
        // SAFETY: the caller's promise.
        unsafe {
            self.pieces(start, samples, |items: &[T], done| {
                convert(items, self.channels, &mut pcm[done * SAMPLE_BYTES..])
            })
        }
    }

    /// # Safety
    ///
    /// As for [`Self::copy_items`].
    unsafe fn downmix<T: Sample>(&self, start: usize, mixed: &mut [f32]) -> Defects {
        // SAFETY: the caller's promise.
        unsafe {
            self.pieces(start, mixed.len(), |items: &[T], done| {
                mix(items, self.channels, &mut mixed[done..])
            })
        }
    }

    /// # Safety
    ///
    /// The samples are there.
    unsafe fn downmix_wire(&self, start: usize, mixed: &mut [f32]) -> Defects {
        const AT_ONCE: usize = 512;
        let mut defects = Defects::default();
        let mut bytes = [0; AT_ONCE * SAMPLE_BYTES];
        let mut start = start;
        for mixed in mixed.chunks_mut(AT_ONCE) {
            let bytes = &mut bytes[..mixed.len() * SAMPLE_BYTES];
            // SAFETY: the caller's promise; a byte has the size of an item, or the block is contiguous.
            unsafe { self.copy_items::<u8>(start, bytes) };
            let (pairs, _) = bytes.as_chunks();
            let mut samples = [0; AT_ONCE];
            for (sample, pair) in samples.iter_mut().zip(pairs) {
                *sample = i16::from_le_bytes(*pair);
            }
            defects += mix(&samples, 1, mixed);
            start += mixed.len();
        }
        defects
    }

    /// The contract of [`Block`]. Checked, because memory safety hangs on it; its users keep it.
    fn check(&self, start: usize, wanted: usize) {
        assert!(start <= self.rows && wanted <= self.rows - start);
    }

    /// The addresses between which all items lie.
    fn extent(&self) -> Range<usize> {
        // None of this overflows: it is inside of the exporter's memory.
        let ends = [
            (self.rows - 1).cast_signed() * self.row_stride, // a block is not empty
            (self.channels - 1).cast_signed() * self.channel_stride,
        ];
        let before: isize = ends.iter().map(|end| (*end).min(0)).sum();
        let after: isize = ends.iter().map(|end| (*end).max(0)).sum();
        let item_bytes: usize = size_of::<f64>(); // the largest; a near miss may be refused, which does no harm
        let data = self.data.addr();
        data.wrapping_add_signed(before)..data.wrapping_add_signed(after).wrapping_add(item_bytes)
    }
}

impl Block for Samples<'_> {
    fn samples(&self) -> usize {
        self.rows
    }

    fn read(&self, start: usize, pcm: &mut [u8]) -> Defects {
        let wanted = pcm.len() / SAMPLE_BYTES;
        self.check(start, wanted);
        let (pcm, _) = pcm.split_at_mut(wanted * SAMPLE_BYTES);
        // SAFETY: the samples are there, and each format goes with the type of its items: for any bit pattern a value.
        unsafe {
            by_type!(self.format,
                wire => {
                    self.copy_items::<u8>(start, pcm);
                    Defects::default()
                },
                Item => self.convert::<Item>(start, pcm)
            )
        }
    }

    fn mix(&self, start: usize, mixed: &mut [f32]) -> Defects {
        self.check(start, mixed.len());
        // SAFETY: as in `read`.
        unsafe {
            by_type!(self.format,
                wire => self.downmix_wire(start, mixed),
                Item => self.downmix::<Item>(start, mixed)
            )
        }
    }
}

// SAFETY: `data` is only read, and stays valid while the buffer is held, with or without the interpreter; that others
// may write there meanwhile is provided for, see above.
unsafe impl Sync for Samples<'_> {}

/// Borrow `out` for writing, for the duration of `action`. It must not be the memory that `samples` are read from.
pub fn with_writable_bytes<R>(
    out: &Bound<'_, PyAny>,
    samples: &Samples<'_>,
    action: impl FnOnce(&mut [u8]) -> PyResult<R>,
) -> PyResult<R> {
    with_buffer(out, "out", None, |view| {
        if view.readonly != 0 {
            return Err(Fault::Buffer(format!("out is read-only: {}", type_name(out))).into());
        }
        let length = contiguous_bytes(view).ok_or_else(|| {
            Fault::Buffer(
                "out must be contiguous bytes, such as a bytearray or an array of uint8".to_owned(),
            )
        })?;
        if length == 0 {
            return action(&mut []); // an empty buffer may have a null pointer
        }
        let data: *mut u8 = view.buf.cast();
        let (extent, end) = (samples.extent(), data.addr() + length);
        if extent.start < end && data.addr() < extent.end {
            return Err(Fault::Buffer("out and block share memory".to_owned()).into());
        }
        // SAFETY: `length` writable bytes without gaps, held until `action` returns. Nothing of ours points there, as
        // was just checked; whoever else uses `out` during the call breaks the caller's promise to lend it.
        action(unsafe { slice::from_raw_parts_mut(data, length) })
    })
}

/// Borrow the bytes of `object`, which is called `role` in error messages, for the duration of `action`.
///
/// `bytes` cannot change and are looked at where they are; everything else is copied first.
pub fn with_bytes<R>(
    object: &Bound<'_, PyAny>,
    role: &str,
    action: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return action(bytes.as_bytes());
    }
    let copy = with_buffer(object, role, None, |view| {
        let flat = view.ndim == 1 || (view.ndim == 2 && axis(view, 1)?.0 == 1); // (n, 1): imencode of OpenCV before 4.5
        let length = contiguous_bytes(view).filter(|_| flat).ok_or_else(|| {
            Fault::Type(format!(
                "{role} must be contiguous bytes in one dimension, not {} items of format {:?} in {} dimensions",
                type_name(object),
                String::from_utf8_lossy(format_of(view)),
                view.ndim
            ))
        })?;
        let mut copy = vec![0; length];
        if length > 0 {
            // SAFETY: `length` bytes without gaps on one side, memory of ours of that length on the other.
            unsafe {
                ptr::copy_nonoverlapping(view.buf.cast::<u8>(), copy.as_mut_ptr(), length);
            }
        }
        Ok(copy)
    })?;
    action(&copy)
}

/// `buffer` as a `memoryview`: to borrow from one, and to give back, runs no code in Python.
pub fn viewed<'py>(buffer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    PyMemoryView::from(buffer)
        .map(Bound::into_any)
        .map_err(|raised| not_a_buffer(buffer, "buffer", None, raised).into())
}

/// Append the first `size` bytes of `buffer` to `bytes`; an error names the type of what was `given`.
pub fn append_bytes(
    buffer: &Bound<'_, PyAny>,
    given: &Bound<'_, PyAny>,
    size: usize,
    bytes: &mut Vec<u8>,
) -> PyResult<()> {
    with_buffer(buffer, "buffer", None, |view| {
        let length = contiguous_bytes(view).ok_or_else(|| {
            Fault::Type(format!(
                "buffer must be contiguous bytes, not {}",
                type_name(given)
            ))
        })?;
        if size > length {
            return Err(
                Fault::Value(format!("the buffer has {length} bytes, fewer than {size}")).into(),
            );
        }
        bytes.reserve(size);
        let old = bytes.len();
        if size > 0 {
            // SAFETY: `size` bytes without gaps on one side, reserved memory of ours on the other, which is filled
            // before the new length says so. Were they written to meanwhile, other bytes would be read, no worse.
            unsafe {
                ptr::copy_nonoverlapping(view.buf.cast::<u8>(), bytes.as_mut_ptr().add(old), size);
                bytes.set_len(old + size);
            }
        }
        Ok(())
    })
}

/// `bytes` of `length`, filled by `fill`.
///
/// `PyBytes::new_with` writes zeros first: for the frame of a 100 KB image 3 of 11 µs.
pub fn new_bytes(
    py: Python<'_>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> PyResult<()>,
) -> PyResult<Bound<'_, PyBytes>> {
    let size = ffi::Py_ssize_t::try_from(length)
        .map_err(|_| PyMemoryError::new_err("more bytes than there can be"))?;
    // SAFETY: with a null pointer a new object is made, whose bytes its maker is to fill.
    let bytes = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(ptr::null(), size))?
            .cast_into_unchecked::<PyBytes>()
    };
    // SAFETY: nobody else knows the object yet, and it has `length` bytes. They are whatever the allocator of another
    // language left there, which the compiler must take for values like any other.
    fill(unsafe {
        slice::from_raw_parts_mut(ffi::PyBytes_AsString(bytes.as_ptr()).cast(), length)
    })?;
    Ok(bytes)
}

/// The length of a C-contiguous buffer of single bytes, `None` for any other.
fn contiguous_bytes(view: &ffi::Py_buffer) -> Option<usize> {
    let single_bytes = view.itemsize == 1 && matches!(format_of(view), b"B" | b"b" | b"c");
    // SAFETY: a filled `Py_buffer`; the call reads only from it.
    let contiguous = single_bytes
        && unsafe { ffi::PyBuffer_IsContiguous(ptr::from_ref(view), b'C'.cast_signed()) } != 0;
    usize::try_from(view.len).ok().filter(|_| contiguous)
}
