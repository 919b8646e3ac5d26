//! Anonymous memory: protection, moving, growing, advice, fork, limits.

use crate::check::{aside, describe, in_child, outcome, show, sys, value};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use support::memory::{Anonymous, PAGE, Shared};
use support::process::fork;

const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

/// A mapping at an address, or anywhere for 0.
fn map(address: usize, pages: usize, protection: i32, flags: i32) -> io::Result<usize> {
    sys!(SYS_mmap, address, pages * PAGE, protection, flags, -1, 0).map(|address| address as usize)
}

fn unmap(address: usize, pages: usize) -> io::Result<i64> {
    sys!(SYS_munmap, address, pages * PAGE)
}

fn protect(address: usize, pages: usize, protection: i32) -> io::Result<i64> {
    sys!(SYS_mprotect, address, pages * PAGE, protection)
}

fn write(address: usize, byte: u8) {
    // SAFETY: the tests write to mappings of their own, or in a child that a fault may end.
    unsafe { (address as *mut u8).write_volatile(byte) };
}

fn read(address: usize) -> u8 {
    // SAFETY: as for `write`.
    unsafe { (address as *const u8).read_volatile() }
}

/// Whether touching an address is allowed, tried in a child.
fn touch(what: &str, address: usize, writes: bool) {
    in_child(what, || {
        if writes {
            write(address, 1);
        } else {
            drop(Box::new(read(address)));
        }
        0
    });
}

pub fn run() {
    zeros_and_holes();
    fixed();
    protection();
    moving();
    advice();
    copies_on_write();
    shared();
    break_pointer();
    stack();
    guard_gap();
    limits();
    locking();
    killed();
}

/// Who is killed while it brings in pages does not bring in the rest: 1 TiB would take far longer than this test may.
fn killed() {
    const PAGES: usize = 1 << 28;
    for (what, bring_in) in [("by advice", true), ("by the mapping", false)] {
        let begun = Shared::new(AtomicU32::new(0)).expect("memory");
        let child = fork(|| {
            if bring_in {
                let at = map(0, PAGES, libc::PROT_READ, PRIVATE).unwrap_or(0);
                begun.store(1, Relaxed);
                let _ = sys!(SYS_madvise, at, PAGES * PAGE, libc::MADV_POPULATE_READ);
            } else {
                begun.store(1, Relaxed);
                let _ = map(0, PAGES, libc::PROT_READ, PRIVATE | libc::MAP_POPULATE);
            }
            0
        })
        .expect("fork");
        while begun.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        let _ = child.kill(libc::SIGKILL);
        value(what, child.wait().map(describe));
    }
}

fn zeros_and_holes() {
    let at = map(0, 8, RW, PRIVATE).expect("a mapping");
    show("zero", (0..8 * PAGE).all(|offset| read(at + offset) == 0));
    (0..8).for_each(|page| write(at + page * PAGE, page as u8 + 1));
    outcome("unmap the middle", unmap(at + 3 * PAGE, 2));
    touch("before the hole", at + 3 * PAGE - 1, true);
    touch("in the hole", at + 3 * PAGE, false);
    touch("after the hole", at + 5 * PAGE, true);
    show("content beside it", format!("{} {}", read(at + 2 * PAGE), read(at + 5 * PAGE)));
    outcome("unmap it again", unmap(at + 3 * PAGE, 2));
    outcome("unmap across it", unmap(at, 8));
    touch("then", at, false);
}

fn fixed() {
    let at = map(0, 16, RW, PRIVATE).expect("a mapping");
    write(at + PAGE, 7);
    let fixed = libc::MAP_FIXED | PRIVATE;
    value("MAP_FIXED replaces", map(at + PAGE, 1, RW, fixed).map(|there| there == at + PAGE));
    show("fresh", read(at + PAGE));
    let careful = libc::MAP_FIXED_NOREPLACE | PRIVATE;
    outcome("NOREPLACE onto a mapping", map(at + PAGE, 1, RW, careful));
    outcome("NOREPLACE onto part of one", map(at + 15 * PAGE, 4, RW, careful));
    let _ = unmap(at + 4 * PAGE, 2);
    value("NOREPLACE into a hole", map(at + 4 * PAGE, 2, RW, careful).map(|there| there == at + 4 * PAGE));
    let _ = unmap(at + 4 * PAGE, 2);
    value("a free hint is taken", map(at + 4 * PAGE, 2, RW, PRIVATE).map(|there| there == at + 4 * PAGE));
    value("a used hint is not", map(at, 2, RW, PRIVATE).map(|there| there != at));
    outcome("MAP_FIXED at the end of user space", map(crate::check::USER_END, 1, RW, fixed));
    outcome("MAP_FIXED across it", map(crate::check::USER_END - PAGE, 2, RW, fixed));
    outcome("MAP_FIXED in the kernel", map(crate::check::KERNEL, 1, RW, fixed));
    value("a kernel hint is moved", map(crate::check::KERNEL, 1, RW, PRIVATE).map(|there| there < 1 << 47));
    value("MAP_POPULATE", map(0, 16, RW, PRIVATE | libc::MAP_POPULATE).map(|at| read(at + 15 * PAGE)));
    let large = map(0, 1 << 20, RW, PRIVATE | libc::MAP_NORESERVE).expect("address space");
    show("MAP_NORESERVE", read(large + (1 << 30)));
    outcome("unmap it", unmap(large, 1 << 20));
}

fn protection() {
    let at = map(0, 4, libc::PROT_NONE, PRIVATE).expect("a mapping");
    touch("PROT_NONE", at, false);
    outcome("read", protect(at, 4, libc::PROT_READ));
    touch("read of it", at, false);
    touch("write to it", at, true);
    outcome("write one page", protect(at + PAGE, 1, RW));
    touch("write to it", at + PAGE, true);
    touch("write beside it", at + 2 * PAGE, true);
    write(at + PAGE, 5);
    outcome("read-only again", protect(at, 4, libc::PROT_READ));
    show("content stays", read(at + PAGE));
    touch("write to it", at + PAGE, true);
    outcome("across a hole", unmap(at + 2 * PAGE, 1).and_then(|_| protect(at, 4, RW)));
    touch("the part before it was done", at, true);
    // Code that is written, then run.
    let code = map(0, 1, RW, PRIVATE).expect("a mapping");
    for (offset, byte) in [0xb8, 42, 0, 0, 0, 0xc3].into_iter().enumerate() {
        write(code + offset, byte);
    }
    // SAFETY: the page holds `mov eax, 42; ret`.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(code) };
    in_child("run from a page that is not executable", || function());
    outcome("executable", protect(code, 1, libc::PROT_READ | libc::PROT_EXEC));
    show("run", function());
    touch("write to it", code, true);
}

fn moving() {
    let remap = |at: usize, old: usize, new: usize, flags: i32| {
        sys!(SYS_mremap, at, old * PAGE, new * PAGE, flags).map(|at| at as usize)
    };
    let at = map(0, 16, RW, PRIVATE).expect("a mapping");
    (0..16).for_each(|page| write(at + page * PAGE, 10 + page as u8));
    value("shrink", remap(at, 16, 8, 0).map(|there| there == at));
    touch("beyond it", at + 8 * PAGE, false);
    value("grow in place", remap(at, 8, 12, 0).map(|there| there == at));
    show("grown part is fresh", read(at + 9 * PAGE));
    let _ = map(at + 12 * PAGE, 1, RW, PRIVATE | libc::MAP_FIXED);
    outcome("no room to grow", remap(at, 12, 64, 0));
    let moved = remap(at, 12, 64, libc::MREMAP_MAYMOVE).expect("room somewhere");
    show("moved", moved != at);
    show("content", format!("{} {} {}", read(moved), read(moved + 7 * PAGE), read(moved + 63 * PAGE)));
    touch("the old place", at, false);
    let target = map(0, 8, libc::PROT_NONE, PRIVATE).expect("a mapping");
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let there = sys!(SYS_mremap, moved, 2 * PAGE, 2 * PAGE, flags, target + PAGE);
    value("to a fixed place", there.map(|there| there as usize == target + PAGE));
    show("content", read(target + 2 * PAGE));
    outcome("overlapping", sys!(SYS_mremap, target, 4 * PAGE, 4 * PAGE, flags, target + PAGE));
    outcome("to size 0", remap(target + PAGE, 2, 0, libc::MREMAP_MAYMOVE));
    outcome("unaligned", sys!(SYS_mremap, target + 1, PAGE, PAGE, 0));
    outcome("across two mappings", remap(target, 4, 5, libc::MREMAP_MAYMOVE));
    let at = map(0, 4, RW, PRIVATE).expect("a mapping");
    (0..4).for_each(|page| write(at + page * PAGE, 20 + page as u8));
    let keep = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    outcome("DONTUNMAP of another size", remap(at, 4, 5, keep));
    outcome("DONTUNMAP without MAYMOVE", remap(at, 4, 4, libc::MREMAP_DONTUNMAP));
    let moved = remap(at, 4, 4, keep).expect("room somewhere");
    show("it is there", format!("{} {}", read(moved), read(moved + 3 * PAGE)));
    show("and here it is fresh", format!("{} {}", read(at), read(at + 3 * PAGE)));
    outcome("of a length of 0", remap(at, 0, 4, libc::MREMAP_MAYMOVE));
    outcome("unknown flag", remap(at, 4, 4, 8));
    outcome("fixed without MAYMOVE", remap(at, 4, 4, libc::MREMAP_FIXED));
    outcome("to an odd place", sys!(SYS_mremap, at, PAGE, PAGE, flags, target + 1));
    outcome("into the kernel", sys!(SYS_mremap, at, PAGE, PAGE, flags, crate::check::KERNEL));
    outcome("of what is not mapped", {
        let _ = unmap(at, 4);
        remap(at, 4, 4, libc::MREMAP_MAYMOVE)
    });
    let at = map(0, 4, RW, SHARED).expect("a mapping");
    write(at + PAGE, 9);
    let twin = remap(at, 0, 4, libc::MREMAP_MAYMOVE).expect("a second mapping of shared memory");
    write(twin + 2 * PAGE, 8);
    show("twins", format!("{} {}", read(twin + PAGE), read(at + 2 * PAGE)));
}

fn advice() {
    let at = map(0, 8, RW, PRIVATE).expect("a mapping");
    (0..8).for_each(|page| write(at + page * PAGE, 3));
    outcome("DONTNEED", sys!(SYS_madvise, at + 2 * PAGE, 2 * PAGE, libc::MADV_DONTNEED));
    show("content", (0..8).map(|page| read(at + page * PAGE).to_string()).collect::<Vec<_>>().join(" "));
    outcome("WILLNEED", sys!(SYS_madvise, at, 8 * PAGE, libc::MADV_WILLNEED));
    outcome("unaligned", sys!(SYS_madvise, at + 1, PAGE, libc::MADV_DONTNEED));
    outcome("length 0", sys!(SYS_madvise, at, 0, libc::MADV_DONTNEED));
    let mut resident = [9_u8; 8];
    outcome("mincore", sys!(SYS_mincore, at, 8 * PAGE, resident.as_mut_ptr()));
    show("a touched page is there", resident[0] & 1);
    outcome("unmap one", unmap(at + PAGE, 1));
    outcome("DONTNEED across a hole", sys!(SYS_madvise, at, 8 * PAGE, libc::MADV_DONTNEED));
    for (name, advice) in [
        ("NORMAL", 0),
        ("RANDOM", 1),
        ("SEQUENTIAL", 2),
        ("FREE", 8),
        ("REMOVE", 9),
        ("unknown", 77),
        ("MERGEABLE", 12),
        ("HUGEPAGE", 14),
        ("NOHUGEPAGE", 15),
        ("DONTDUMP", 16),
        ("DODUMP", 17),
        ("WIPEONFORK", 18),
        ("KEEPONFORK", 19),
        ("COLD", 20),
        ("PAGEOUT", 21),
        ("POPULATE_READ", 22),
        ("POPULATE_WRITE", 23),
        ("DONTNEED_LOCKED", 24),
    ] {
        outcome(name, sys!(SYS_madvise, at + 4 * PAGE, 2 * PAGE, advice));
        outcome("beyond a hole", sys!(SYS_madvise, at, 3 * PAGE, advice));
    }
    let shared = map(0, 2, RW, SHARED).expect("a mapping");
    write(shared, 1);
    for (name, advice) in [("FREE of shared", 8), ("WIPEONFORK of shared", 18), ("DONTNEED of shared", 4)] {
        outcome(name, sys!(SYS_madvise, shared, PAGE, advice));
    }
    show("shared stays", read(shared));
    let sealed = map(0, 1, libc::PROT_NONE, PRIVATE).expect("a mapping");
    outcome("POPULATE_READ of PROT_NONE", sys!(SYS_madvise, sealed, PAGE, 22));
    outcome("POPULATE_WRITE of PROT_NONE", sys!(SYS_madvise, sealed, PAGE, 23));
    for (name, protection) in [("PROT_WRITE", libc::PROT_WRITE), ("PROT_EXEC", libc::PROT_EXEC)] {
        let one = map(0, 1, protection, PRIVATE).expect("a mapping");
        outcome(&format!("POPULATE_READ of {name}"), sys!(SYS_madvise, one, PAGE, 22));
        outcome(&format!("POPULATE_WRITE of {name}"), sys!(SYS_madvise, one, PAGE, 23));
    }
    let wiped = map(0, 2, RW, PRIVATE).expect("a mapping");
    write(wiped, 6);
    outcome("WIPEONFORK", sys!(SYS_madvise, wiped, 2 * PAGE, 18));
    in_child("wiped in the child", || i32::from(read(wiped)));
    show("not in the parent", read(wiped));
    outcome("DONTFORK", sys!(SYS_madvise, at, PAGE, libc::MADV_DONTFORK));
    touch("in the child it is gone", at, false);
    touch("the rest is there", at + 4 * PAGE, true);
}

fn copies_on_write() {
    let mut memory = Anonymous::map(64 * PAGE).expect("memory");
    memory.bytes().fill(1);
    let child = fork(|| {
        (0..64).step_by(2).for_each(|page| memory.bytes()[page * PAGE] = 2);
        let grandchild = fork(|| {
            (0..64).step_by(4).for_each(|page| memory.bytes()[page * PAGE] = 3);
            let sum: u32 = (0..64).map(|page| u32::from(memory.bytes()[page * PAGE])).sum();
            i32::from(sum != 16 * 3 + 16 * 2 + 32)
        });
        let ended = grandchild.and_then(support::process::Child::wait);
        let sum: u32 = (0..64).map(|page| u32::from(memory.bytes()[page * PAGE])).sum();
        i32::from(sum != 32 * 2 + 32 || !ended.is_ok_and(support::process::Ended::success))
    });
    value("child and grandchild", child.and_then(support::process::Child::wait).map(crate::check::describe));
    show("ours", (0..64).map(|page| u32::from(memory.bytes()[page * PAGE])).sum::<u32>());
    // A page that was only read stays zero in both, whoever writes first.
    let at = map(0, 2, RW, PRIVATE).expect("a mapping");
    let _ = read(at);
    aside("child writes a page that was only read", || write(at, 9));
    show("ours", read(at));
    // A system call that writes user memory separates copies too.
    let mut names = [0_u8; 4096];
    aside("kernel writes into a shared copy", || {
        let _ = sys!(SYS_uname, names.as_mut_ptr());
        show("child's copy is written", names[0] != 0);
    });
    show("ours", names[0]);
}

fn shared() {
    let at = map(0, 4, RW, SHARED).expect("a mapping");
    aside("child writes", || {
        write(at, 4);
        write(at + 3 * PAGE, 5);
    });
    show("parent sees", format!("{} {}", read(at), read(at + 3 * PAGE)));
    aside("child unmaps", || {
        let _ = unmap(at, 4);
    });
    show("parent still sees", read(at));
    let moved = sys!(SYS_mremap, at, 4 * PAGE, 8 * PAGE, libc::MREMAP_MAYMOVE);
    value("grow it", moved.map(|at| read(at as usize)));
}

fn break_pointer() {
    aside("brk", || {
        let brk = |at: usize| sys!(SYS_brk, at).map_or(0, |at| at as usize);
        let start = brk(0);
        show("grows", brk(start + 100 * PAGE) == start + 100 * PAGE);
        write(start + 99 * PAGE, 1);
        show("fresh memory is zero", read(start + 50 * PAGE));
        show("shrinks", brk(start + 10 * PAGE) == start + 10 * PAGE);
        touch("beyond it", start + 99 * PAGE, false);
        let _ = brk(start + 100 * PAGE);
        show("grown again it is zero", read(start + 99 * PAGE));
        show("an odd size", brk(start + 12345) == start + 12345);
        show("below the start nothing happens", brk(PAGE) == start + 12345);
        show("too large nothing happens", brk(1 << 46) == start + 12345);
    });
}

fn stack() {
    in_child("deep but within the limit", || {
        fn dig(depth: u32) -> u32 {
            let page = std::hint::black_box([depth; 1024]);
            if depth == 0 { 0 } else { dig(depth - 1) + page[1023] - depth }
        }
        dig(700) as i32
    });
    in_child("a large frame at once", || {
        let large = std::hint::black_box([1_u8; 4 << 20]);
        i32::from(large[12345]) - 1
    });
    in_child("far below the stack", || {
        let here = 0_u8;
        write(&raw const here as usize - (64 << 20), 1);
        0
    });
}

/// What may lie below a stack, and how far it grows.
fn guard_gap() {
    let page = |at: usize| at & !(PAGE - 1);
    in_child("right above a mapping", || {
        let here = 0_u8;
        let at = page(&raw const here as usize) - (2 << 20);
        let below = map(at, 1, RW, PRIVATE | libc::MAP_FIXED_NOREPLACE);
        // 256 pages are kept between a stack and what is below it.
        write(at + 258 * PAGE, 1);
        below.map_or(1, |_| 0)
    });
    in_child("in the gap above a mapping", || {
        let here = 0_u8;
        let at = page(&raw const here as usize) - (2 << 20);
        let _ = map(at, 1, RW, PRIVATE | libc::MAP_FIXED_NOREPLACE);
        write(at + 100 * PAGE, 1);
        0
    });
    in_child("above a mapping without rights", || {
        let here = 0_u8;
        let at = page(&raw const here as usize) - (2 << 20);
        let _ = map(at, 1, libc::PROT_NONE, PRIVATE | libc::MAP_FIXED_NOREPLACE);
        write(at + PAGE, 1);
        0
    });
    in_child("beyond a lower limit", || {
        let limit = [1_u64 << 20, 8 << 20];
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_STACK, limit.as_ptr());
        let here = 0_u8;
        write(&raw const here as usize - (2 << 20), 1);
        0
    });
    in_child("within a higher limit", || {
        let limit = [32_u64 << 20, 32 << 20];
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_STACK, limit.as_ptr());
        let here = 0_u8;
        write(&raw const here as usize - (16 << 20), 1);
        0
    });
    in_child("a mapping that grows", || {
        let room = map(0, 1024, libc::PROT_NONE, PRIVATE).expect("room");
        let _ = unmap(room, 1024);
        let stack = map(room + 1000 * PAGE, 4, RW, PRIVATE | libc::MAP_FIXED | libc::MAP_GROWSDOWN);
        write(room + 998 * PAGE, 1);
        write(room + 500 * PAGE, 1);
        stack.map_or(1, |_| 0)
    });
}

fn limits() {
    aside("address space limit", || {
        let limit = [256_u64 << 20; 2];
        outcome("setrlimit", sys!(SYS_setrlimit, libc::RLIMIT_AS, limit.as_ptr()));
        outcome("128 MiB", map(0, 128 << 8, RW, PRIVATE));
        outcome("again", map(0, 128 << 8, RW, PRIVATE));
        show("a vector", vec![1_u8; 1000].len());
    });
    aside("data limit", || {
        let limit = [16_u64 << 20; 2];
        outcome("setrlimit", sys!(SYS_setrlimit, libc::RLIMIT_DATA, limit.as_ptr()));
        outcome("32 MiB", map(0, 32 << 8, RW, PRIVATE));
        let at = map(0, 32 << 8, libc::PROT_READ, PRIVATE);
        outcome("32 MiB read-only", at.as_ref().map(|_| ()).map_err(|error| io::Error::from(error.kind())));
        outcome("make it writable", protect(at.unwrap_or(0), 32 << 8, RW));
        outcome("32 MiB shared", map(0, 32 << 8, RW, SHARED));
        let now = sys!(SYS_brk, 0).unwrap_or(0);
        show("brk stays", sys!(SYS_brk, now + (32 << 20)).is_ok_and(|at| at == now));
    });
    aside("address space limit and growth", || {
        let at = map(0, 64 << 8, RW, PRIVATE).expect("a mapping");
        let limit = [128_u64 << 20; 2];
        outcome("setrlimit", sys!(SYS_setrlimit, libc::RLIMIT_AS, limit.as_ptr()));
        outcome("mremap", sys!(SYS_mremap, at, 64 << 20, 128 << 20, libc::MREMAP_MAYMOVE));
        let now = sys!(SYS_brk, 0).unwrap_or(0);
        show("brk stays", sys!(SYS_brk, now + (128 << 20)).is_ok_and(|at| at == now));
        outcome("in place of it", map(at, 64 << 8, RW, PRIVATE | libc::MAP_FIXED));
        outcome("exec of a small program", {
            let (name, end) = (c"/usr/bin/nothing", std::ptr::null::<u8>());
            sys!(SYS_execve, name.as_ptr(), [name.as_ptr().cast(), end].as_ptr(), [end].as_ptr())
        });
    });
    outcome("128 TiB", map(0, 1 << 35, RW, PRIVATE | libc::MAP_NORESERVE));
}

fn locking() {
    let at = map(0, 4, RW, PRIVATE).expect("a mapping");
    outcome("mlock", sys!(SYS_mlock, at, 4 * PAGE));
    outcome("mlock of a part of it", sys!(SYS_mlock, at + PAGE, PAGE));
    outcome("munlock", sys!(SYS_munlock, at, 4 * PAGE));
    outcome("mlock of nothing", sys!(SYS_mlock, 0x1000, PAGE));
    outcome("msync of anonymous memory", sys!(SYS_msync, at, PAGE, libc::MS_SYNC));
}
