//! Arguments and environment of a program, on their way from one address space to the next.

use alloc::vec::Vec;

use syscalls::Errno;

/// Most bytes of arguments and environment together, with a pointer each (a quarter of the default stack limit).
pub const MAX_ARGUMENTS: usize = 2 << 20;

/// What `execve` is given.
pub struct Arguments {
    /// `argv`.
    pub argv: Strings,
    /// `envp`.
    pub envp: Strings,
}

impl Arguments {
    /// E2BIG if they are more than a new stack may hold.
    pub fn check(&self) -> Result<(), Errno> {
        let size = self.argv.footprint() + self.envp.footprint();
        if size > MAX_ARGUMENTS { Err(Errno::E2BIG) } else { Ok(()) }
    }
}

/// Strings in a row, as they will lie on the stack: each with the NUL that ends it.
#[derive(Default)]
pub struct Strings {
    bytes: Vec<u8>,
    /// Where each begins.
    offsets: Vec<u32>,
}

impl Strings {
    /// Adds a string without a NUL in it; ENOMEM.
    pub fn push(&mut self, string: &[u8]) -> Result<(), Errno> {
        self.reserve(string.len() + 1, 1)?;
        self.offsets.push(self.bytes.len() as u32);
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        Ok(())
    }

    /// Adds all of another's strings but the first; ENOMEM.
    pub fn append_rest(&mut self, other: &Self) -> Result<(), Errno> {
        let [_, rest @ ..] = &other.offsets[..] else { return Ok(()) };
        let Some(&start) = rest.first() else { return Ok(()) };
        let bytes = &other.bytes[start as usize..];
        self.reserve(bytes.len(), rest.len())?;
        let here = self.bytes.len() as u32;
        self.offsets.extend(rest.iter().map(|offset| here + (offset - start)));
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn reserve(&mut self, bytes: usize, count: usize) -> Result<(), Errno> {
        self.bytes.try_reserve(bytes).map_err(|_| Errno::ENOMEM)?;
        self.offsets.try_reserve(count).map_err(|_| Errno::ENOMEM)
    }

    /// How many strings there are.
    pub fn count(&self) -> usize {
        self.offsets.len()
    }

    /// The strings, each with its NUL.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each string begins, in bytes from the first.
    pub fn offsets(&self) -> impl Iterator<Item = usize> {
        self.offsets.iter().map(|offset| *offset as usize)
    }

    /// What they take on a stack, pointers included.
    pub fn footprint(&self) -> usize {
        self.bytes.len() + self.count() * size_of::<usize>()
    }
}
