//! Files made of functions.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;

use fs::{
    Op,
    procfs::{Link, Node, Text},
};
use syscalls::Errno;

/// Why a text could not be made.
pub struct Failure(pub Errno);

impl From<fmt::Error> for Failure {
    /// What is written to is a [`TextBuffer`], which fails for one reason.
    fn from(_: fmt::Error) -> Self {
        Failure(Errno::ENOMEM)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure(errno)
    }
}

/// What a function that appends a text returns.
pub type Made = Result<(), Failure>;

/// A text in the making: writing to it fails where there is no memory for more.
#[derive(Default)]
pub struct TextBuffer(Vec<u8>);

impl TextBuffer {
    /// The text that `make` appends to an empty one.
    pub fn filled(make: impl FnOnce(&mut Self) -> Made) -> Result<Vec<u8>, Errno> {
        let mut text = Self::default();
        make(&mut text).map_err(|Failure(errno)| errno)?;
        Ok(text.0)
    }

    /// Appends bytes that need be no text.
    pub fn append(&mut self, more: &[u8]) -> fmt::Result {
        self.0.try_reserve(more.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(more);
        Ok(())
    }

    /// Appends a text on the left of a column of so many characters.
    pub fn left(&mut self, text: &[u8], width: usize) -> fmt::Result {
        self.append(text)?;
        self.blanks(width.saturating_sub(text.len()))
    }

    /// Appends a number on the right of a column of so many characters. Tables are made of this, as the formatter takes
    /// several hundred instructions for each number.
    pub fn right(&mut self, number: u64, width: usize) -> fmt::Result {
        let mut room = [0; DIGITS];
        let digits = decimal(number, &mut room);
        self.blanks(width.saturating_sub(digits.len()))?;
        self.append(digits)
    }

    fn blanks(&mut self, count: usize) -> fmt::Result {
        self.0.try_reserve(count).map_err(|_| fmt::Error)?;
        self.0.resize(self.0.len() + count, b' ');
        Ok(())
    }

    /// What it is so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What it has become.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Write for TextBuffer {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.append(more.as_bytes())
    }
}

/// Most digits of a number.
pub const DIGITS: usize = 20;

/// A number's digits.
pub fn decimal(number: u64, room: &mut [u8; DIGITS]) -> &[u8] {
    let (mut rest, mut at) = (number, DIGITS);
    loop {
        at -= 1;
        room[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &room[at..];
        }
    }
}

/// A text in the making that may become long: in pieces, as one that grew as a whole would be moved as a whole, in one
/// poll.
#[derive(Default)]
pub struct LongText {
    pieces: Vec<Vec<u8>>,
}

impl LongText {
    /// What is moved in some thousand instructions.
    const PIECE: usize = 64 << 10;

    /// Appends a part that is short for itself. ENOMEM where there is no memory for it.
    pub fn append(&mut self, more: &[u8]) -> Result<(), Errno> {
        let has_room = |piece: &Vec<u8>| piece.capacity() - piece.len() >= more.len();
        if !self.pieces.last().is_some_and(has_room) {
            let mut piece = Vec::new();
            piece.try_reserve_exact(more.len().max(Self::PIECE)).map_err(|_| Errno::ENOMEM)?;
            self.pieces.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.pieces.push(piece);
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.extend_from_slice(more);
        }
        Ok(())
    }

    /// What it has become, in one piece.
    ///
    /// # Errors
    /// ENOMEM.
    pub async fn into_bytes(self) -> Result<Vec<u8>, Errno> {
        let mut whole = Vec::new();
        let len = self.pieces.iter().map(Vec::len).sum();
        whole.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        for piece in self.pieces {
            whole.extend_from_slice(&piece);
            executor::make_way().await;
        }
        Ok(whole)
    }
}

/// A file that anybody may read.
pub fn file(make: fn(&mut TextBuffer) -> Made) -> Node {
    Node::Text(Arc::new(move |text: &mut Vec<u8>| {
        *text = TextBuffer::filled(make)?;
        Ok(())
    }))
}

/// A file that only its owner may read.
pub fn private_file(make: fn(&mut TextBuffer) -> Made) -> Node {
    struct Private(fn(&mut TextBuffer) -> Made);

    impl Text for Private {
        fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
            Op::Ready(TextBuffer::filled(self.0))
        }

        fn permissions(&self) -> u32 {
            0o400
        }
    }

    Node::Text(Arc::new(Private(make)))
}

/// A file with one unchanging line.
pub fn line(text: &'static str) -> Node {
    Node::Text(Arc::new(move |made: &mut Vec<u8>| {
        made.extend_from_slice(text.as_bytes());
        made.push(b'\n');
        Ok(())
    }))
}

/// A symbolic link with an unchanging target.
pub fn link(target: &'static str) -> Node {
    struct Plain(&'static str);

    impl Link for Plain {
        fn text(&self) -> Result<Vec<u8>, Errno> {
            Ok(self.0.as_bytes().to_vec())
        }
    }

    Node::Link(Arc::new(Plain(target)))
}

/// A file that shows a setting in one line, and takes a new one.
pub struct Setting {
    /// The value, without the newline.
    pub read: fn() -> String,
    /// Takes a new value, without blanks around it.
    pub write: fn(&str) -> Result<(), Errno>,
}

impl Text for Setting {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        let mut line = (self.read)().into_bytes();
        line.push(b'\n');
        Op::Ready(Ok(line))
    }

    fn write(&self, data: Vec<u8>) -> Op<'_, Result<(), Errno>> {
        let text = core::str::from_utf8(&data).map_err(|_| Errno::EINVAL);
        Op::Ready(text.and_then(|text| (self.write)(text.trim_matches(['\0', '\n', ' ', '\t']))))
    }

    fn permissions(&self) -> u32 {
        0o644
    }
}
