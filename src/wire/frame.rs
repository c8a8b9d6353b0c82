//! Frames: a big-endian length of four bytes, checked against a cap before anything is allocated,
//! then one MessagePack value and nothing after it.
//!
//! Both peers read with [`Frames`] and write what [`encode`] gives. What the values mean is in
//! [`super::message`].

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use crate::job::PROMPT_BYTES;

/// The longest frame that a worker reads: the longest prompt and room for what goes with it.
pub const REQUEST_MAX: usize = PROMPT_BYTES + (64 << 10);
/// The longest frame that a client reads: a snapshot, or the PNG of the largest picture.
pub const REPLY_MAX: usize = 64 << 20;

/// Bytes of the length before each value.
const HEAD: usize = 4;
/// How deeply values may be nested; ours are under ten deep.
const DEPTH: usize = 64;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than the reader or the writer allows.
    #[error("a frame of {bytes} bytes; at most {cap} are accepted")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The most that is accepted.
        cap: usize,
    },
    /// The connection ended before the frame did.
    #[error("the connection ended in the middle of a frame")]
    Cut,
    /// The value is not the message that was expected.
    #[error("a message could not be read: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// A whole message, and more.
    #[error("{0} bytes follow the message in its frame")]
    Trailing(usize),
    /// A message that MessagePack cannot hold.
    #[error("a message could not be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Cuts a stream of bytes into the values of its frames; each is read with [`decode`].
#[derive(Debug)]
pub struct Frames {
    cap: usize,
    codec: LengthDelimitedCodec,
    /// Whether the codec has taken the length of a frame off, and not yet its value.
    begun: bool,
}

impl Frames {
    /// Frames of at most `cap` bytes, the four of the length not counted.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        let codec =
            LengthDelimitedCodec::builder().length_field_length(HEAD).max_frame_length(cap).new_codec();
        Self { cap, codec, begun: false }
    }
}

impl Decoder for Frames {
    type Item = BytesMut;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        // The codec refuses the same lengths, but does not say which.
        let head = source.first_chunk().copied();
        let frame = self.codec.decode(source).map_err(|error| match head.map(u32::from_be_bytes) {
            Some(bytes) if bytes as usize > self.cap => {
                FrameError::TooLarge { bytes: u64::from(bytes), cap: self.cap }
            }
            _ => FrameError::Io(error),
        })?;
        self.begun = frame.is_none() && (self.begun || head.is_some());
        Ok(frame)
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        let frame = self.decode(source)?;
        if frame.is_none() && (self.begun || !source.is_empty()) { Err(FrameError::Cut) } else { Ok(frame) }
    }
}

/// The whole frame of `message`: its length and its value, fields by name.
///
/// # Errors
/// [`FrameError::TooLarge`] when the value is longer than `cap`.
pub fn encode<T: Serialize>(message: &T, cap: usize) -> Result<Bytes, FrameError> {
    let mut frame = BytesMut::zeroed(HEAD).writer();
    message.serialize(&mut rmp_serde::Serializer::new(&mut frame).with_struct_map())?;
    let mut frame = frame.into_inner();
    let bytes = frame.len() - HEAD;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= cap);
    let length = length.ok_or(FrameError::TooLarge { bytes: bytes as u64, cap })?;
    frame[..HEAD].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// The message in a frame's value.
///
/// # Errors
/// [`FrameError::Decode`] for anything but that message, [`FrameError::Trailing`] when more follows.
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, FrameError> {
    let mut reader = rmp_serde::Deserializer::new(value);
    reader.set_max_depth(DEPTH);
    let message = T::deserialize(&mut reader)?;
    match reader.get_ref().len() {
        0 => Ok(message),
        more => Err(FrameError::Trailing(more)),
    }
}
