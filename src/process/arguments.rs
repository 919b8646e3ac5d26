//! Arguments and environment of a program, on their way from one address space to the next.

use alloc::vec::Vec;

use syscalls::Errno;

use crate::memory::PAGE_SIZE;

/// What `execve` is given.
pub struct Arguments {
    /// `argv`.
    pub argv: Strings,
    /// `envp`.
    pub envp: Strings,
    /// Most bytes that both may have.
    limit: usize,
}

impl Arguments {
    /// Those of a program that is called by a name of so many bytes, under a limit of `stack` bytes for the stack: E2BIG if they
    /// are more than [`most`](Self::most), or than the stack holds, for which each page counts, and a word above them.
    pub fn new(argv: Strings, envp: Strings, name: usize, stack: u64) -> Result<Self, Errno> {
        let pointers = (argv.count() + envp.count()) * size_of::<usize>();
        let pages = stack as usize / PAGE_SIZE * PAGE_SIZE;
        let limit = Self::most(stack).saturating_sub(pointers).min(pages.saturating_sub(size_of::<usize>()));
        Self { argv, envp, limit: limit.saturating_sub(name + 1) }.checked()
    }

    /// Most bytes of arguments, environment and the program's name, with a pointer for each of the former, under a limit of
    /// `stack` bytes for the stack: a quarter of that, but never less than ARG_MAX, nor more than three quarters of what the
    /// limit is by default (execve(2), "Limits on size of arguments and environment").
    pub fn most(stack: u64) -> usize {
        (stack / 4).clamp(128 << 10, 6 << 20) as usize
    }

    /// The same with other arguments, as what interprets a script gets them; E2BIG.
    pub fn with_argv(self, argv: Strings) -> Result<Self, Errno> {
        Self { argv, ..self }.checked()
    }

    fn checked(self) -> Result<Self, Errno> {
        if self.argv.len() + self.envp.len() > self.limit { Err(Errno::E2BIG) } else { Ok(self) }
    }
}

/// Strings in a row, as they will lie on the stack: each with the NUL that ends it. They are kept in pieces, so that however
/// many there are, no step with them takes long.
#[derive(Default)]
pub struct Strings {
    pieces: Vec<Piece>,
    /// Bytes in all pieces.
    len: usize,
    /// Strings in all pieces.
    count: usize,
}

/// Some of the bytes.
#[derive(Default)]
pub struct Piece {
    bytes: Vec<u8>,
    /// Where strings begin, in bytes from this piece's first.
    starts: Vec<u32>,
}

impl Piece {
    /// Bytes that a piece has room for.
    const BYTES: usize = 32 << 10;
    /// Strings that may begin in one.
    pub const STRINGS: usize = 4096;

    /// An empty one, with room for what most programs are given; ENOMEM.
    fn new() -> Result<Self, Errno> {
        let mut piece = Piece::default();
        piece.bytes.try_reserve_exact(512).map_err(|_| Errno::ENOMEM)?;
        piece.starts.try_reserve_exact(32).map_err(|_| Errno::ENOMEM)?;
        Ok(piece)
    }

    /// The strings, each with its NUL; the first and the last may be cut off.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where strings begin in it, in bytes.
    pub fn starts(&self) -> impl Iterator<Item = usize> {
        self.starts.iter().map(|start| *start as usize)
    }

    fn is_full(&self) -> bool {
        self.bytes.len() == Self::BYTES || self.starts.len() == Self::STRINGS
    }
}

impl Strings {
    /// Adds a string without a NUL in it; ENOMEM.
    pub fn push(&mut self, string: &[u8]) -> Result<(), Errno> {
        self.begin()?;
        self.extend(string)?;
        self.extend(&[0])
    }

    /// Begins a string, whose bytes and NUL are then [added](Self::extend); ENOMEM.
    pub fn begin(&mut self) -> Result<(), Errno> {
        let piece = self.piece()?;
        piece.starts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        piece.starts.push(piece.bytes.len() as u32);
        self.count += 1;
        Ok(())
    }

    /// Adds bytes to the string that has begun; ENOMEM.
    pub fn extend(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let piece = self.piece()?;
            let (now, later) = bytes.split_at(bytes.len().min(Piece::BYTES - piece.bytes.len()));
            piece.bytes.try_reserve(now.len()).map_err(|_| Errno::ENOMEM)?;
            piece.bytes.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// The last piece, which is not full.
    fn piece(&mut self) -> Result<&mut Piece, Errno> {
        if self.pieces.last().is_none_or(Piece::is_full) {
            self.pieces.try_reserve_exact(1).map_err(|_| Errno::ENOMEM)?;
            self.pieces.push(Piece::new()?);
        }
        self.pieces.last_mut().ok_or(Errno::ENOMEM)
    }

    /// Adds all of another's strings but the first; ENOMEM.
    pub fn append_rest(&mut self, mut other: Self) -> Result<(), Errno> {
        let has_next = |piece: &Piece, first: bool| piece.starts.len() > usize::from(first);
        let Some(place) = other.pieces.iter().enumerate().position(|(at, piece)| has_next(piece, at == 0))
        else {
            return Ok(());
        };
        let piece = &mut other.pieces[place];
        let start = piece.starts[usize::from(place == 0)];
        piece.starts.retain(|other| *other >= start);
        piece.starts.iter_mut().for_each(|other| *other -= start);
        piece.bytes.drain(..start as usize);
        let rest = &mut other.pieces[place..];
        self.pieces.try_reserve(rest.len()).map_err(|_| Errno::ENOMEM)?;
        self.len += rest.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        self.count += rest.iter().map(|piece| piece.starts.len()).sum::<usize>();
        self.pieces.extend(rest.iter_mut().map(core::mem::take));
        Ok(())
    }

    /// How many strings there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many bytes they have, NULs included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What they take on a stack, pointers included.
    pub fn footprint(&self) -> usize {
        self.len + self.count * size_of::<usize>()
    }
}
