//! WebSocket frames (RFC 6455), a client's side of it: whole masked frames out, a stream of unmasked ones in.
//!
//! ```text
//! out   opcode, payload ──▶ header · key · masked payload         one frame is one message
//! in    bytes as they come ──▶ Parser ──▶ messages, pings, pongs, close, or the first violation
//! ```
//!
//! There are no extensions: base64 inside JSON does not get smaller, so compression is never negotiated.

use crate::mask::{self, KEY_BYTES, Key};

/// The opcodes of §5.2.
pub mod opcode {
    /// Goes on with a fragmented message.
    pub const CONTINUATION: u8 = 0x0;
    /// A message in UTF-8.
    pub const TEXT: u8 = 0x1;
    /// A message of bytes.
    pub const BINARY: u8 = 0x2;
    /// The last frame of each side.
    pub const CLOSE: u8 = 0x8;
    /// To be answered.
    pub const PING: u8 = 0x9;
    /// The answer.
    pub const PONG: u8 = 0xA;
}

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;
/// In place of a length: the next two, or eight, bytes hold it.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
/// The longest payload of a control frame (§5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// Close codes that a parser gives (§7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_DATA: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// An empty buffer that is larger than this is given back; audio comes in messages of some kilobytes.
const KEPT_BYTES: usize = 64 * 1024;

// --- out ---

/// Length of the header of a client frame, its key included.
#[must_use]
pub const fn header_bytes(payload_bytes: usize) -> usize {
    let length_bytes = match payload_bytes {
        0..126 => 0,
        126..=0xFFFF => 2,
        _ => 8,
    };
    2 + length_bytes + KEY_BYTES
}

/// Length of a whole client frame.
#[must_use]
pub const fn frame_bytes(payload_bytes: usize) -> usize {
    // no slice is long enough to reach the saturation
    payload_bytes.saturating_add(header_bytes(payload_bytes))
}

/// Make a frame in place: `frame` is as long as [`frame_bytes`] says, and its payload, which stands behind where the
/// header goes, is masked.
///
/// `None`, and nothing is changed, if the frame is too short for a header.
pub fn finish_frame(opcode: u8, key: Key, payload_bytes: usize, frame: &mut [u8]) -> Option<()> {
    let (header, payload) = frame.split_at_mut_checked(header_bytes(payload_bytes))?;
    let (start, rest) = header.split_first_chunk_mut::<2>()?;
    let (length, key_place) = rest.split_last_chunk_mut::<KEY_BYTES>()?;
    let short = match length.len() {
        0 => u8::try_from(payload_bytes).ok()?,
        2 => LENGTH_16,
        _ => LENGTH_64,
    };
    // big-endian, as many bytes as there is room for
    let long = (payload_bytes as u64).to_be_bytes();
    length.copy_from_slice(long.get(long.len() - length.len()..)?);
    *start = [FIN | (opcode & OPCODE), MASKED | short];
    *key_place = key;
    mask::apply(key, payload);
    Some(())
}

/// Opcode and payload of `frame`, if that is exactly one whole masked frame.
#[must_use]
pub fn unmask(frame: &[u8]) -> Option<(u8, Vec<u8>)> {
    let header = Header::parse(frame)?;
    let key = header.key?;
    let (_, payload) = frame.split_at_checked(header.bytes)?;
    if header.reserved || !header.fin || payload.len() as u64 != header.payload_bytes {
        return None;
    }
    let mut payload = payload.to_vec();
    mask::apply(key, &mut payload);
    Some((header.opcode, payload))
}

// --- in ---

/// What has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping, or a sign of life.
    Pong(&'a [u8]),
    /// The other side has said its last word: a code, if it gave one, and a reason.
    Close(Option<u16>, &'a str),
    /// The stream is broken, by the other side, and nothing more will come of it.
    Violation(Violation),
}

/// How the other side has broken the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The code to close with.
    pub code: u16,
    /// What is wrong.
    pub reason: &'static str,
}

impl Violation {
    const fn protocol(reason: &'static str) -> Self {
        Self {
            code: PROTOCOL_ERROR,
            reason,
        }
    }
}

struct Header {
    fin: bool,
    reserved: bool,
    opcode: u8,
    payload_bytes: u64,
    key: Option<Key>,
    /// Of the header itself.
    bytes: usize,
}

impl Header {
    /// The header at the front of `data`; `None` if more bytes are needed to know.
    fn parse(data: &[u8]) -> Option<Self> {
        let ([first, second], rest) = data.split_first_chunk()?;
        let (payload_bytes, rest) = match second & LENGTH {
            LENGTH_16 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            LENGTH_64 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (key, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            let (key, rest) = rest.split_first_chunk()?;
            (Some(*key), rest)
        };
        Some(Self {
            fin: first & FIN != 0,
            reserved: first & RESERVED != 0,
            opcode: first & OPCODE,
            payload_bytes,
            key,
            bytes: data.len() - rest.len(),
        })
    }
}

/// Takes a stream of bytes apart, however it was cut.
///
/// Bytes are appended to [`Self::buffer`]; [`Self::next`] then hands out what is complete.
#[derive(Debug)]
pub struct Parser {
    max_message_bytes: usize,
    buffer: Vec<u8>,
    /// So many bytes of `buffer` have been handed out.
    taken: usize,
    /// The fragments of a message so far.
    message: Vec<u8>,
    /// Of the message whose end has not come yet.
    fragmented: Option<u8>,
    /// `message` was handed out.
    message_taken: bool,
    /// After a close frame or a violation nothing counts any more (§1.4, §7.1.7).
    ended: bool,
}

impl Parser {
    /// A longer message than `max_message_bytes` is a violation.
    #[must_use]
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            buffer: Vec::new(),
            taken: 0,
            message: Vec::new(),
            fragmented: None,
            message_taken: false,
            ended: false,
        }
    }

    /// Where the next bytes of the stream are to be appended, before [`Self::next`] is called until it has no more.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next complete item; `None` until more bytes have come.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend what it is made of"
    )]
    pub fn next(&mut self) -> Option<Item<'_>> {
        if std::mem::take(&mut self.message_taken) {
            self.message.clear();
            self.message.shrink_to(KEPT_BYTES);
        }
        if self.ended {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BYTES);
            self.taken = 0;
            return None;
        }
        loop {
            match self.frame() {
                Ok(Some(frame)) => {
                    if let Some(kind) = self.take(&frame) {
                        return Some(self.item(&frame, kind));
                    }
                }
                Ok(None) => {
                    self.forget_taken();
                    return None;
                }
                Err(violation) => {
                    self.ended = true;
                    return Some(Item::Violation(violation));
                }
            }
        }
    }

    fn forget_taken(&mut self) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(KEPT_BYTES);
        }
    }

    /// The next frame, if it is whole; checked as far as its header goes.
    fn frame(&self) -> Result<Option<Frame>, Violation> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        // judged before more is waited for: what is not WebSocket need not go on as if it were
        if let Some(start) = rest.first_chunk() {
            self.check_start(*start)?;
        }
        let Some(header) = Header::parse(rest) else {
            return Ok(None);
        };
        let payload_bytes = self.check_length(&header)?;
        if rest.len() - header.bytes < payload_bytes {
            return Ok(None);
        }
        let start = self.taken + header.bytes;
        Ok(Some(Frame {
            fin: header.fin,
            opcode: header.opcode,
            start,
            end: start + payload_bytes,
        }))
    }

    /// Whether a frame that begins like this may come now.
    fn check_start(&self, [first, second]: [u8; 2]) -> Result<(), Violation> {
        let wrong = |reason| Err(Violation::protocol(reason));
        if first & RESERVED != 0 {
            return wrong("reserved bits are set");
        }
        if second & MASKED != 0 {
            return wrong("a masked frame from a server"); // §5.1
        }
        match first & OPCODE {
            opcode::CLOSE | opcode::PING | opcode::PONG => {
                if first & FIN == 0 {
                    wrong("a fragmented control frame")
                } else if usize::from(second & LENGTH) > MAX_CONTROL_BYTES {
                    wrong("a control frame of more than 125 bytes")
                } else {
                    Ok(())
                }
            }
            opcode::CONTINUATION if self.fragmented.is_none() => wrong("a continuation of nothing"),
            opcode::TEXT | opcode::BINARY if self.fragmented.is_some() => {
                wrong("a new message inside of a fragmented one")
            }
            opcode::CONTINUATION | opcode::TEXT | opcode::BINARY => Ok(()),
            _ => wrong("an opcode that does not exist"),
        }
    }

    /// The payload's length, if there is room for it.
    fn check_length(&self, header: &Header) -> Result<usize, Violation> {
        if header.payload_bytes >> 63 != 0 {
            return Err(Violation::protocol("a length of more than 63 bits"));
        }
        let room = match header.opcode {
            opcode::CONTINUATION | opcode::TEXT | opcode::BINARY => {
                self.max_message_bytes.saturating_sub(self.message.len())
            }
            _ => MAX_CONTROL_BYTES,
        };
        // checked before a byte of it is waited for: nobody may fill the memory by announcing much
        usize::try_from(header.payload_bytes)
            .ok()
            .filter(|bytes| *bytes <= room)
            .ok_or(Violation {
                code: TOO_BIG,
                reason: "the message is too big",
            })
    }

    /// Step over a frame; say what it completes.
    fn take(&mut self, frame: &Frame) -> Option<Kind> {
        self.taken = frame.end;
        match frame.opcode {
            opcode::CLOSE => Some(Kind::Close),
            opcode::PING => Some(Kind::Ping),
            opcode::PONG => Some(Kind::Pong),
            _ if frame.fin && self.fragmented.is_none() => Some(Kind::Whole),
            _ => {
                let opcode = *self.fragmented.get_or_insert(frame.opcode);
                let fragment = self.buffer.get(frame.start..frame.end).unwrap_or_default();
                self.message.extend_from_slice(fragment);
                frame.fin.then(|| {
                    self.fragmented = None;
                    self.message_taken = true;
                    Kind::Assembled(opcode)
                })
            }
        }
    }

    fn item(&mut self, frame: &Frame, kind: Kind) -> Item<'_> {
        let Self {
            buffer,
            message,
            ended,
            ..
        } = self;
        let payload = buffer.get(frame.start..frame.end).unwrap_or_default();
        let text = |opcode, message| {
            if opcode == opcode::TEXT && str::from_utf8(message).is_err() {
                Err(Violation {
                    code: INVALID_DATA,
                    reason: "a text that is not UTF-8",
                })
            } else {
                Ok(Item::Message(message))
            }
        };
        let item = match kind {
            Kind::Ping => Ok(Item::Ping(payload)),
            Kind::Pong => Ok(Item::Pong(payload)),
            Kind::Close => close(payload),
            Kind::Whole => text(frame.opcode, payload),
            Kind::Assembled(opcode) => text(opcode, message.as_slice()),
        };
        *ended = matches!(item, Err(_) | Ok(Item::Close(..)));
        item.unwrap_or_else(Item::Violation)
    }
}

struct Frame {
    fin: bool,
    opcode: u8,
    /// Of the payload, in the parser's buffer.
    start: usize,
    end: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Close,
    Ping,
    Pong,
    /// A message in one frame.
    Whole,
    /// The last fragment has come of a message of this opcode.
    Assembled(u8),
}

/// What a close frame says (§5.5.1, §7.4).
fn close(payload: &[u8]) -> Result<Item<'_>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(Item::Close(None, ""))
        } else {
            Err(Violation::protocol("half of a close code"))
        };
    };
    let code = u16::from_be_bytes(*code);
    // 1004 to 1006 and 1015 never stand in a frame (§7.4.1); those above 1014 are not given out
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::protocol("a close code that may not be sent"));
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation {
        code: INVALID_DATA,
        reason: "a close reason that is not UTF-8",
    })?;
    Ok(Item::Close(Some(code), reason))
}
