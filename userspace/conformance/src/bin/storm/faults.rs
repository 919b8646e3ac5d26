//! Threads of one process map, touch, protect, advise, move and unmap at once, and fork in the middle of it.

use crate::{Deadline, Random};
use std::sync::Mutex;
use std::thread;
use support::memory::PAGE;
use support::process::fork;

const THREADS: u64 = 6;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

pub fn run(deadline: Deadline) -> Result<(), String> {
    let problem = Mutex::new(None);
    thread::scope(|scope| {
        for me in 0..THREADS {
            let problem = &problem;
            scope.spawn(move || {
                let mut random = Random::new(me + 1);
                while deadline.ahead() {
                    if let Err(text) = one_mapping(me as u8 + 1, &mut random) {
                        *problem.lock().expect("not poisoned") = Some(text);
                    }
                }
            });
        }
    });
    problem.into_inner().expect("not poisoned").map_or(Ok(()), Err)
}

/// The life of a mapping; only this thread knows it.
fn one_mapping(mark: u8, random: &mut Random) -> Result<(), String> {
    let pages = 1 + random.below(64) as usize;
    let mut area = Area::map(pages)?;
    for page in 0..pages {
        area.check(page, 0)?;
        area.write(page, mark);
    }
    match random.below(5) {
        0 => area.protect_and_back()?,
        1 => {
            let page = random.below(pages as u64) as usize;
            area.forget(page)?;
            area.check(page, 0)?;
            area.write(page, mark);
        }
        2 => area.grow(pages + 16)?,
        3 => {
            // The child has a copy of what this thread wrote, whatever the other threads do meanwhile.
            let child = fork(|| i32::from((0..pages).any(|page| area.read(page) != mark)));
            let ended = child.and_then(support::process::Child::wait).map_err(|error| error.to_string())?;
            if !ended.success() {
                return Err(format!("in a forked copy: {ended:?}"));
            }
        }
        _ => {}
    }
    (0..pages).try_for_each(|page| area.check(page, mark))
}

/// A mapping of this thread's own.
struct Area {
    start: usize,
    pages: usize,
}

impl Area {
    fn map(pages: usize) -> Result<Self, String> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), pages * PAGE, RW, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            Err("mmap failed".into())
        } else {
            Ok(Self { start: start as usize, pages })
        }
    }

    fn read(&self, page: usize) -> u8 {
        // SAFETY: the page is mapped and ours.
        unsafe { ((self.start + page * PAGE) as *const u8).read_volatile() }
    }

    fn write(&mut self, page: usize, mark: u8) {
        // SAFETY: as for `read`, and nobody else writes to it.
        unsafe { ((self.start + page * PAGE) as *mut u8).write_volatile(mark) };
    }

    fn check(&self, page: usize, expected: u8) -> Result<(), String> {
        match self.read(page) {
            found if found == expected => Ok(()),
            found => Err(format!("page {page} of {} holds {found}, not {expected}", self.pages)),
        }
    }

    fn protect_and_back(&mut self) -> Result<(), String> {
        for protection in [libc::PROT_NONE, libc::PROT_READ, RW] {
            // SAFETY: our own mapping, not touched until it is writable again.
            support::cvt(unsafe { libc::mprotect(self.start as *mut _, self.pages * PAGE, protection) })
                .map_err(|error| format!("mprotect: {error}"))?;
        }
        Ok(())
    }

    fn forget(&mut self, page: usize) -> Result<(), String> {
        let start = (self.start + page * PAGE) as *mut _;
        // SAFETY: our own page, whose content may go.
        let result = support::cvt(unsafe { libc::madvise(start, PAGE, libc::MADV_DONTNEED) });
        result.map(drop).map_err(|error| format!("madvise: {error}"))
    }

    fn grow(&mut self, pages: usize) -> Result<(), String> {
        let (old, new) = (self.pages * PAGE, pages * PAGE);
        // SAFETY: our own mapping, which may move; nothing points into it but this structure.
        let start = unsafe { libc::mremap(self.start as *mut _, old, new, libc::MREMAP_MAYMOVE) };
        if start == libc::MAP_FAILED {
            return Err("mremap failed".into());
        }
        (self.start, self.pages) = (start as usize, pages);
        (old / PAGE..pages).try_for_each(|page| self.check(page, 0))
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing uses any more.
        unsafe { libc::munmap(self.start as *mut _, self.pages * PAGE) };
    }
}
