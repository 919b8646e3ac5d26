//! ELF executables: what of a file goes where (System V ABI, x86-64 supplement; `elf` parses the structures).

use alloc::vec::Vec;
use elf::{
    abi::{EM_X86_64, ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR},
    endian::LittleEndian,
    file::{Class, FileHeader},
    segment::ProgramHeader,
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::memory::PAGE_SIZE;

/// Most of a file that its headers may occupy: the ELF header, and at most 64 KiB of program headers as on Linux.
pub const MAX_PROGRAM_HEADERS: usize = 65536 / 56;

/// The largest alignment that is respected, bytes.
const MAX_ALIGNMENT: u64 = 1 << 30;

/// One loadable segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// First byte in memory, before the load bias.
    pub address: usize,
    /// Bytes in memory; those past `file_size` are zero.
    pub memory_size: usize,
    /// Where in the file it starts; congruent to `address` modulo the page size.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: usize,
    /// `PROT_*`.
    pub protection: u32,
}

/// What `execve` needs to know of an executable.
#[derive(Debug)]
pub struct Executable {
    /// Entry point, before the load bias.
    pub entry: usize,
    /// Whether it may be loaded anywhere.
    pub relocatable: bool,
    /// Its segments, by ascending address.
    pub segments: Vec<Segment>,
    /// Address of the program headers in memory, before the load bias; for `AT_PHDR`.
    pub program_headers: usize,
    /// Their number.
    pub program_header_count: usize,
    /// File range of the interpreter's path.
    pub interpreter: Option<(u64, usize)>,
    /// Whether it asks for an executable stack.
    pub executable_stack: bool,
    /// What the load bias is a multiple of, bytes: the largest alignment of a segment, at least a page.
    pub alignment: usize,
}

impl Executable {
    /// Where the program headers of a file are, from its first 64 bytes. ENOEXEC if it is no x86-64 executable.
    pub fn header_range(start: &[u8]) -> Result<(u64, usize), Errno> {
        let header = parse_header(start)?;
        let count = header.e_phnum as usize;
        if header.e_phentsize != 56 || count == 0 || count > MAX_PROGRAM_HEADERS {
            return Err(Errno::ENOEXEC);
        }
        Ok((header.e_phoff, count * 56))
    }

    /// Understands an executable from its first 64 bytes and its program headers.
    pub fn parse(start: &[u8], program_headers: &[u8]) -> Result<Self, Errno> {
        let header = parse_header(start)?;
        let mut parsed = Self {
            entry: header.e_entry as usize,
            relocatable: header.e_type == ET_DYN,
            segments: Vec::new(),
            program_headers: 0,
            program_header_count: header.e_phnum as usize,
            interpreter: None,
            executable_stack: false,
            alignment: PAGE_SIZE,
        };
        for bytes in program_headers.chunks_exact(56) {
            parsed.add(program_header(bytes)?, header.e_phoff)?;
        }
        if parsed.segments.is_empty() {
            return Err(Errno::ENOEXEC);
        }
        Ok(parsed)
    }

    fn add(&mut self, header: ProgramHeader, table_offset: u64) -> Result<(), Errno> {
        match header.p_type {
            PT_LOAD if header.p_memsz > 0 => {
                let segment = checked_segment(&header)?;
                if self.segments.last().is_some_and(|last| segment.address < last.address + last.memory_size)
                {
                    return Err(Errno::ENOEXEC);
                }
                let in_file = segment.offset..segment.offset + segment.file_size as u64;
                if self.program_headers == 0 && in_file.contains(&table_offset) {
                    self.program_headers = segment.address + (table_offset - segment.offset) as usize;
                }
                self.segments.push(segment);
                // Nothing is aligned to other than powers of two, whatever the header says, and nothing to more than this.
                if header.p_align.is_power_of_two() && header.p_align <= MAX_ALIGNMENT {
                    self.alignment = self.alignment.max(header.p_align as usize);
                }
            }
            // As on Linux, the first one counts.
            PT_INTERP if self.interpreter.is_none() => {
                if header.p_filesz < 2 || header.p_filesz > 4096 {
                    return Err(Errno::ENOEXEC);
                }
                self.interpreter = Some((header.p_offset, header.p_filesz as usize));
            }
            PT_PHDR => self.program_headers = header.p_vaddr as usize,
            PT_GNU_STACK => self.executable_stack = header.p_flags & PF_X != 0,
            _ => {}
        }
        Ok(())
    }

    /// The load bias with which it begins at `base` or right below; none if it is not [`relocatable`](Self::relocatable).
    pub fn bias_at(&self, base: usize) -> usize {
        let (start, _) = self.span();
        if self.relocatable { base.wrapping_sub(start) & !(self.alignment - 1) } else { 0 }
    }

    /// The page-aligned span of addresses that the segments cover.
    pub fn span(&self) -> (usize, usize) {
        let start = self.segments.first().map_or(0, |s| s.address & !(PAGE_SIZE - 1));
        let end = self.segments.last().map_or(0, |s| (s.address + s.memory_size).next_multiple_of(PAGE_SIZE));
        (start, end)
    }
}

fn parse_header(start: &[u8]) -> Result<FileHeader<LittleEndian>, Errno> {
    if start.len() < 64 || &start[..4] != b"\x7fELF" {
        return Err(Errno::ENOEXEC);
    }
    let ident = elf::file::parse_ident::<LittleEndian>(start).map_err(|_| Errno::ENOEXEC)?;
    let header = FileHeader::parse_tail(ident, &start[16..64]).map_err(|_| Errno::ENOEXEC)?;
    let fits = header.class == Class::ELF64
        && header.e_machine == EM_X86_64
        && (header.e_type == ET_EXEC || header.e_type == ET_DYN);
    if fits { Ok(header) } else { Err(Errno::ENOEXEC) }
}

fn program_header(bytes: &[u8]) -> Result<ProgramHeader, Errno> {
    use elf::parse::ParseAt;
    ProgramHeader::parse_at(LittleEndian, Class::ELF64, &mut 0, bytes).map_err(|_| Errno::ENOEXEC)
}

fn checked_segment(header: &ProgramHeader) -> Result<Segment, Errno> {
    let end = header.p_vaddr.checked_add(header.p_memsz).ok_or(Errno::ENOEXEC)?;
    let valid = header.p_filesz <= header.p_memsz
        && end <= crate::arch::layout::USER_END as u64
        && header.p_offset.checked_add(header.p_filesz).is_some_and(|end| end < i64::MAX as u64)
        && header.p_vaddr % PAGE_SIZE as u64 == header.p_offset % PAGE_SIZE as u64;
    if !valid {
        return Err(Errno::ENOEXEC);
    }
    let bit = |flag, protection| if header.p_flags & flag != 0 { protection } else { 0 };
    Ok(Segment {
        address: header.p_vaddr as usize,
        memory_size: header.p_memsz as usize,
        offset: header.p_offset,
        file_size: header.p_filesz as usize,
        protection: bit(PF_R, linux::PROT_READ) | bit(PF_W, linux::PROT_WRITE) | bit(PF_X, linux::PROT_EXEC),
    })
}
