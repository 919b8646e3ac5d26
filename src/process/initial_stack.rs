//! What a new program finds on its stack (System V ABI, x86-64 supplement, 3.4.1).
//!
//! ```text
//!   stack pointer ─► number of arguments │ addresses of arguments, 0 │ addresses of the environment, 0 │ auxiliary vector
//!                    ... │ arguments │ environment │ file name, platform, seed ─► top
//! ```

use alloc::vec::Vec;
use core::ops::Range;

use linux_raw_sys::{
    auxvec::{
        AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP, AT_HWCAP2,
        AT_MINSIGSTKSZ, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM, AT_RANDOM, AT_SECURE,
        AT_SYSINFO_EHDR, AT_UID,
    },
    general as linux,
};
use syscalls::Errno;
use zerocopy::IntoBytes;

use super::{
    arguments::{Arguments, Piece, Strings},
    credentials::Credentials,
    elf::Executable,
    signal::frame,
    times::TICKS_PER_SECOND,
};
use crate::{
    arch::cpu,
    memory::{AddressSpace, Mapping, PAGE_SIZE, RegionFlags},
};

/// What the auxiliary vector tells of a program.
pub struct Auxiliary<'a> {
    /// What it was called by.
    pub file_name: &'a [u8],
    /// Its image.
    pub executable: &'a Executable,
    /// How far its image is from where the file says.
    pub bias: usize,
    /// Where its interpreter is; 0 without one.
    pub interpreter_base: usize,
    /// Where the vDSO is.
    pub vdso: usize,
    /// What it takes its own secrets from.
    pub seed: [usize; 2],
    /// Who runs it.
    pub credentials: Credentials,
    /// Whether that is somebody with more rights than who started it.
    pub is_secure: bool,
}

/// A stack that was built.
pub struct InitialStack {
    /// The first stack pointer.
    pub pointer: usize,
    /// Where the strings of the arguments lie.
    pub arguments: Range<usize>,
    /// Where those of the environment lie.
    pub environment: Range<usize>,
    /// Where the auxiliary vector lies.
    pub auxiliary: Range<usize>,
}

/// Maps the stack below `top`.
pub async fn map(space: &AddressSpace, executable: bool, top: usize) -> Result<(), Errno> {
    const INITIAL: usize = 132 << 10;
    let protection = linux::PROT_READ | linux::PROT_WRITE | if executable { linux::PROT_EXEC } else { 0 };
    let stack = Mapping {
        hint: top - INITIAL,
        flags: linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_FIXED | linux::MAP_GROWSDOWN,
        extra: RegionFlags::STACK,
        ..Mapping::anonymous(INITIAL, protection)
    };
    space.map(stack).await.map(drop)
}

/// Builds the initial stack below `top`. E2BIG where it does not fit, ENOMEM.
pub async fn build(
    space: &AddressSpace,
    top: usize,
    arguments: &Arguments,
    auxiliary: &Auxiliary<'_>,
) -> Result<InitialStack, Errno> {
    let Arguments { argv, envp, .. } = arguments;
    let Auxiliary { executable, bias, credentials, .. } = auxiliary;
    let mut others = Vec::new();
    others.try_reserve_exact(auxiliary.file_name.len() + 32).map_err(|_| Errno::ENOMEM)?;
    let mut place = |bytes: &[u8]| {
        others.extend_from_slice(bytes);
        others.len() - bytes.len()
    };
    let file_name = place(auxiliary.file_name);
    place(b"\0");
    let platform = place(b"x86_64\0");
    let random = place(auxiliary.seed.as_bytes());

    let strings_len = argv.len() + envp.len() + others.len();
    let arguments_at = (top - strings_len - size_of::<usize>()) & !15;
    let environment_at = arguments_at + argv.len();
    let others_at = environment_at + envp.len();
    let vector = [
        (AT_SYSINFO_EHDR, auxiliary.vdso),
        (AT_HWCAP, cpu::hwcap()),
        (AT_HWCAP2, cpu::hwcap2()),
        (AT_MINSIGSTKSZ, frame::max_size()),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, TICKS_PER_SECOND as usize),
        (AT_PHDR, executable.program_headers.wrapping_add(*bias)),
        (AT_PHENT, 56),
        (AT_PHNUM, executable.program_header_count),
        (AT_BASE, auxiliary.interpreter_base),
        (AT_FLAGS, 0),
        (AT_ENTRY, executable.entry.wrapping_add(*bias)),
        (AT_UID, credentials.users[0] as usize),
        (AT_EUID, credentials.users[1] as usize),
        (AT_GID, credentials.groups[0] as usize),
        (AT_EGID, credentials.groups[1] as usize),
        (AT_SECURE, usize::from(auxiliary.is_secure)),
        (AT_RANDOM, others_at + random),
        (AT_EXECFN, others_at + file_name),
        (AT_PLATFORM, others_at + platform),
        (AT_NULL, 0),
    ];
    let words = 1 + argv.count() + 1 + envp.count() + 1 + vector.len() * 2;
    let stack_pointer = (arguments_at - words * size_of::<usize>()) & !15;
    let vector_at = stack_pointer + (words - vector.len() * 2) * size_of::<usize>();

    let mut table = Writer::new(space, stack_pointer, words)?;
    table.words.push(argv.count());
    table.addresses(argv, arguments_at).await?;
    table.addresses(envp, environment_at).await?;
    table.make_room(vector.len() * 2).await?;
    table.words.extend_from_slice(vector.map(|(kind, value)| [kind as usize, value]).as_flattened());
    table.flush().await?;
    write_strings(space, argv, arguments_at).await?;
    write_strings(space, envp, environment_at).await?;
    write(space, others_at, &others).await?;
    Ok(InitialStack {
        pointer: stack_pointer,
        arguments: arguments_at..environment_at,
        environment: environment_at..others_at,
        auxiliary: vector_at..vector_at + size_of_val(&vector),
    })
}

/// Writes words one behind the other, many at a time.
struct Writer<'a> {
    space: &'a AddressSpace,
    /// Where the next go.
    at: usize,
    words: Vec<usize>,
}

impl<'a> Writer<'a> {
    /// Writes `total` words from `at` on; ENOMEM.
    fn new(space: &'a AddressSpace, at: usize, total: usize) -> Result<Self, Errno> {
        let mut words = Vec::new();
        words.try_reserve_exact(total.min(2 * Piece::STRINGS)).map_err(|_| Errno::ENOMEM)?;
        Ok(Writer { space, at, words })
    }

    /// The addresses of strings of which the first is at `start`, and a zero.
    async fn addresses(&mut self, strings: &Strings, mut start: usize) -> Result<(), Errno> {
        for piece in strings.pieces() {
            self.make_room(Piece::STRINGS).await?;
            self.words.extend(piece.starts().map(|offset| start + offset));
            start += piece.bytes().len();
        }
        self.make_room(1).await?;
        self.words.push(0);
        Ok(())
    }

    /// Makes room for so many words, or for all that are still to come.
    async fn make_room(&mut self, count: usize) -> Result<(), Errno> {
        if self.words.len() + count > 2 * Piece::STRINGS { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Errno> {
        write(self.space, self.at, self.words.as_bytes()).await?;
        self.at += size_of_val(&self.words[..]);
        self.words.clear();
        Ok(())
    }
}

async fn write_strings(space: &AddressSpace, strings: &Strings, mut at: usize) -> Result<(), Errno> {
    for piece in strings.pieces() {
        write(space, at, piece.bytes()).await?;
        at += piece.bytes().len();
    }
    Ok(())
}

/// Writes to the stack; E2BIG where that does not reach.
async fn write(space: &AddressSpace, at: usize, bytes: &[u8]) -> Result<(), Errno> {
    executor::make_way().await;
    space.write_bytes(at, bytes).await.map_err(|_| Errno::E2BIG)
}
