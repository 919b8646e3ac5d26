//! The memory that arguments lie in, and the addresses that are none.
//!
//! All threads of a process use the same few pages, and so does whatever calls are under way: what the kernel has read once
//! may be different the next time. Pages come and go, because calls unmap and protect them. The program itself finds
//! its way by [`mend`]: an access that faults in the arena maps the page anew.

use std::io;
use support::memory::PAGE;
use support::random::Random;

/// Where it starts.
pub const START: u64 = 1 << 40;
/// How many pages it has.
pub const PAGES: u64 = 24;
/// Where it ends; nothing is mapped behind.
pub const END: u64 = START + PAGES * PAGE as u64;

/// Addresses that are nobody's, or only just somebody's.
const NOWHERE: [u64; 10] = [
    0,
    1,
    4095,
    0x7fff_ffff_f000,
    0x7fff_ffff_effc,
    0x8000_0000_0000,
    0xffff_8000_0000_0000,
    0xffff_ffff_8020_0000,
    u64::MAX - 7,
    u64::MAX,
];

/// Maps the whole arena, filled with words that could be arguments, and mends it from now on.
pub fn build(random: &mut Random) -> io::Result<()> {
    map(START, PAGES * PAGE as u64)?;
    for word in (START..END).step_by(8) {
        let value = match random.below(4) {
            0 => random.below(16),
            1 => START + random.below(PAGES * PAGE as u64),
            2 => 0,
            _ => random.word(),
        };
        // SAFETY: mapped above, and nothing else is there.
        unsafe { (word as *mut u64).write(value) };
    }
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = mend;
        // SAFETY: the handler touches the arena alone.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            support::cvt(libc::sigaction(signal, &raw const action, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

fn map(start: u64, length: u64) -> io::Result<()> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the arena is this program's to map and unmap; no Rust object lies there.
    let at = unsafe { libc::mmap(start as *mut _, length as usize, rights, flags, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Maps a page that an access of this program did not find. Any other fault ends the process.
extern "C" fn mend(_signal: i32, information: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel's block, in a handler that asked for it.
    let at = unsafe { (*information).si_addr() } as u64;
    let mended = (START..END).contains(&at) && map(at & !(PAGE as u64 - 1), PAGE as u64).is_ok();
    if !mended {
        // SAFETY: ends this process at once.
        unsafe { libc::_exit(3) };
    }
}

/// A place for so many bytes, some pages at most: anywhere, or up to the end of a page.
pub fn place(random: &mut Random, bytes: u64) -> u64 {
    let room = PAGES * PAGE as u64 - bytes;
    match random.below(4) {
        0 => (START + random.below(room / PAGE as u64 + 1) * PAGE as u64).min(END - bytes),
        1 => (START + (1 + random.below(PAGES)) * PAGE as u64 - bytes.min(PAGE as u64)).min(END - bytes),
        _ => START + random.below(room / 8 + 1) * 8,
    }
}

/// An address at which so many bytes are not, or not all.
pub fn misplace(random: &mut Random, bytes: u64) -> u64 {
    match random.below(4) {
        0 => END - random.below(bytes.max(1)),
        1 => START - random.below(bytes.max(1)),
        _ => *random.of(&NOWHERE),
    }
}

/// Stores the low `width` bytes of a word.
pub fn store(at: u64, width: u8, value: u64) {
    for (index, byte) in value.to_le_bytes()[..usize::from(width)].iter().enumerate() {
        // SAFETY: callers store into places in the arena, where no Rust object lies; what is not mapped is mended.
        unsafe { ((at + index as u64) as *mut u8).write_volatile(*byte) };
    }
}

/// Two descriptors that a call has stored, if something else has not been stored there since.
pub fn load_pair(at: u64) -> Option<[i32; 2]> {
    if !(START..END - 7).contains(&at) {
        return None;
    }
    // SAFETY: in the arena, as in `store`.
    let pair = unsafe { (at as *const [i32; 2]).read_unaligned() };
    pair.iter().all(|fd| (0..1024).contains(fd)).then_some(pair)
}
