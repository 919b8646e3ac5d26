//! What single calls refuse and tell that belong to no larger area.

use crate::check::{BAD, aside, in_child, outcome, show, sys, value};
use std::io;

pub fn run() {
    memory_locks();
    clock();
    sharing();
    comparisons();
    advice();
    signals();
    aside("a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("ports", sys!(SYS_iopl, 3));
        outcome("a port", sys!(SYS_ioperm, 0x80, 1, 1));
        outcome("hang up", sys!(SYS_vhangup));
        outcome("a handle", sys!(SYS_open_by_handle_at, libc::AT_FDCWD, BAD, 0));
    });
    outcome("a strange level", sys!(SYS_iopl, 4));
    outcome("no ports", sys!(SYS_ioperm, 0, 0, 1));
    outcome("ports beyond the last", sys!(SYS_ioperm, 65_535, 2, 1));
    outcome(
        "a handle with strange flags",
        sys!(SYS_name_to_handle_at, libc::AT_FDCWD, c"/".as_ptr(), BAD, BAD, 1),
    );
    outcome("a key with flags", sys!(SYS_pkey_alloc, 1, 0));
    outcome("a key with strange rights", sys!(SYS_pkey_alloc, 0, 4));
}

fn locked() -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmLck")).unwrap_or_default();
    line.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn memory_locks() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let map =
        |pages: usize| sys!(SYS_mmap, 0, pages * 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
    let at = map(4).expect("memory");
    let present = |at: i64| {
        let mut present = [0_u8; 4];
        let _ = sys!(SYS_mincore, at, 4 * 4096, present.as_mut_ptr());
        format!("{present:?}")
    };
    outcome("lock on fault", sys!(SYS_mlock2, at, 4096, 1));
    outcome("lock", sys!(SYS_mlock2, at + 4096, 4096, 0));
    outcome("strange flags", sys!(SYS_mlock2, at, 4096, 2));
    show("kB locked", locked());
    outcome("unlock", sys!(SYS_munlock, at, 16384));
    show("kB locked", locked());
    for flags in [0, 4, 8] {
        outcome("lock all, strange flags", sys!(SYS_mlockall, flags));
    }
    aside("the future", || {
        outcome("lock all", sys!(SYS_mlockall, libc::MCL_FUTURE));
        let at = map(4).expect("memory");
        show("present at once", present(at));
        show("kB locked", locked());
        in_child("a child", || i32::from(map(4).is_err() || locked() != "0"));
        outcome("unlock all", sys!(SYS_munlockall));
        show("kB locked", locked());
        show("no more", present(map(4).expect("memory")));
    });
    aside("everything", || {
        outcome("lock all", sys!(SYS_mlockall, libc::MCL_CURRENT));
        show("present", present(at));
        show("not the future", present(map(4).expect("memory")));
        outcome("unlock all", sys!(SYS_munlockall));
        show("kB locked", locked());
    });
    aside("a user", || {
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_MEMLOCK, [8192_u64, 8192].as_ptr());
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("within the limit", sys!(SYS_mlock, at, 8192));
        outcome("the same again", sys!(SYS_mlock, at, 8192));
        outcome("beyond it", sys!(SYS_mlock, at + 8192, 4096));
        outcome("everything", sys!(SYS_mlockall, libc::MCL_CURRENT));
        let map_locked = |pages: usize| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_LOCKED;
            sys!(SYS_mmap, 0, pages * 4096, libc::PROT_READ, flags, -1, 0)
        };
        outcome("map and lock more", map_locked(1));
        outcome("unlock one", sys!(SYS_munlock, at, 4096));
        outcome("map and lock two", map_locked(2));
        outcome("map and lock one", map_locked(1));
        outcome("map and lock another", map_locked(1));
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_MEMLOCK, [0_u64, 0].as_ptr());
        outcome("nothing", sys!(SYS_mlock, at, 0));
        outcome("map and lock", map_locked(1));
        outcome("the future", sys!(SYS_mlockall, libc::MCL_FUTURE));
    });
    aside("a user's future", || {
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_MEMLOCK, [16384_u64, 16384].as_ptr());
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("lock all", sys!(SYS_mlockall, libc::MCL_FUTURE));
        outcome("more than that", map(5).map(|_| 0));
        let [first, second] = [map(1), map(2)].map(|at| at.expect("memory"));
        let grow = |len: usize| sys!(SYS_mremap, second, 8192, len, libc::MREMAP_MAYMOVE).map(|_| 0);
        outcome("two more of three", grow(16384));
        outcome("one more", grow(12288));
        outcome("and another", map(1).map(|_| 0));
        let end = sys!(SYS_brk, 0).expect("a heap");
        show("nor a heap", sys!(SYS_brk, end + 4096).ok() == Some(end));
        outcome("one less", sys!(SYS_munmap, first, 4096));
        show("but then", sys!(SYS_brk, end + 4096).ok() == Some(end + 4096));
        show("kB locked", locked());
    });
}

fn clock() {
    let adjust = |modes: u32, set: &dyn Fn(&mut libc::timex)| -> io::Result<(i64, libc::timex)> {
        // SAFETY: plain old data.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        timex.modes = modes;
        set(&mut timex);
        sys!(SYS_adjtimex, &raw mut timex).map(|state| (state, timex))
    };
    value(
        "the clock",
        adjust(0, &|_| {}).map(|(state, timex)| {
            let known =
                [timex.offset, timex.freq, timex.constant, timex.precision, timex.tolerance, timex.tick];
            format!("{state} {known:?} {} {}", timex.status, timex.tai)
        }),
    );
    outcome("to a bad place", sys!(SYS_adjtimex, BAD));
    outcome("a tick too long", adjust(0x4000, &|timex| timex.tick = 12_000));
    outcome("the tick that it has", adjust(0x4000, &|timex| timex.tick = 10_000));
    outcome("a step that is none", adjust(0x0100, &|timex| timex.time.tv_usec = 1_000_000));
    outcome("no step", adjust(0x0100, &|_| {}));
    // SAFETY: plain old data.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    for (name, clock) in [("wall clock", 0), ("another clock", 1), ("no clock", 99)] {
        outcome(name, sys!(SYS_clock_adjtime, clock, &raw mut timex));
    }
    aside("a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("reads", adjust(0, &|_| {}));
        outcome("sets", adjust(2, &|_| {}));
    });
}

fn sharing() {
    outcome("strange things of its own", sys!(SYS_unshare, 1));
    outcome("nothing", sys!(SYS_unshare, 0));
    outcome(
        "what one has alone",
        sys!(SYS_unshare, libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_VM),
    );
    outcome("semaphores", sys!(SYS_unshare, libc::CLONE_SYSVSEM));
    aside("with a thread", || {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            outcome("memory of its own", sys!(SYS_unshare, libc::CLONE_VM));
            outcome("folder of its own", sys!(SYS_unshare, libc::CLONE_FS));
            let _ = std::env::set_current_dir("/proc");
            outcome("descriptors of its own", sys!(SYS_unshare, libc::CLONE_FILES));
            let _ = sys!(SYS_dup2, 1, 77);
            let _ = receiver.recv();
        });
        drop(sender);
        let _ = thread.join();
        show(
            "the folder stays",
            std::env::current_dir().map_or_else(|e| e.to_string(), |at| at.display().to_string()),
        );
        outcome("the descriptor is not there", sys!(SYS_fcntl, 77, libc::F_GETFD));
    });
    aside("a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("mounts", sys!(SYS_unshare, libc::CLONE_NEWNS));
    });
    outcome("no file", sys!(SYS_setns, 99, 0));
    outcome("no namespace", sys!(SYS_setns, 0, 0));
}

fn comparisons() {
    // SAFETY: asks for numbers.
    let (own, parent) = unsafe { (libc::getpid(), libc::getppid()) };
    let compare = |other: i32, kind: i32, one: i32, two: i32| {
        sys!(SYS_kcmp, own, other, kind, one, two)
            .map(|order| if order == 0 { "same" } else { "not the same" })
    };
    let copy = sys!(SYS_dup, 1).expect("a copy") as i32;
    let other = sys!(SYS_open, c"/".as_ptr(), 0).expect("a folder") as i32;
    value("a copy", compare(own, 0, 1, copy));
    value("another file", compare(own, 0, 1, other));
    value("a closed one", compare(own, 0, 1, 99));
    for (name, kind) in [("memory", 1), ("descriptors", 2), ("folder", 3), ("handlers", 4), ("unknown", 99)] {
        value(name, compare(own, kind, 0, 0));
        value("another process's", compare(parent, kind, 0, 0));
    }
    value("nobody's", compare(4_000_000, 1, 0, 0));
    aside("what most have not", || {
        let parent = sys!(SYS_getppid).expect("a number") as i32;
        let own = std::process::id() as i32;
        let compare = |kind: i32| {
            sys!(SYS_kcmp, own, parent, kind, 0, 0)
                .map(|order| if order == 0 { "same" } else { "not the same" })
        };
        value("no priorities of input and output", compare(5));
        value("no semaphores to give back", compare(6));
        let set = sys!(SYS_semget, libc::IPC_PRIVATE, 1, 0o600).expect("a semaphore");
        let mut up = libc::sembuf { sem_num: 0, sem_op: 1, sem_flg: libc::SEM_UNDO as i16 };
        outcome("one to give back", sys!(SYS_semop, set, &raw mut up, 1));
        value("semaphores to give back", compare(6));
        outcome("removed", sys!(SYS_semctl, set, 0, libc::IPC_RMID, 0));
    });
    let _ = (sys!(SYS_close, copy), sys!(SYS_close, other));
}

fn advice() {
    // SAFETY: asks for a number.
    let own = sys!(SYS_pidfd_open, unsafe { libc::getpid() }, 0).expect("a descriptor");
    let bytes = [0_u8; 64];
    let vector = [(bytes.as_ptr() as usize) & !4095, 4096];
    outcome("flags", sys!(SYS_process_madvise, own, vector.as_ptr(), 1, libc::MADV_COLD, 1));
    outcome("no process", sys!(SYS_process_madvise, 99, vector.as_ptr(), 1, libc::MADV_COLD, 0));
    outcome("another file", sys!(SYS_process_madvise, 0, vector.as_ptr(), 1, libc::MADV_COLD, 0));
    outcome(
        "what would change something",
        sys!(SYS_process_madvise, own, vector.as_ptr(), 1, libc::MADV_DONTNEED, 0),
    );
    value("will be needed", sys!(SYS_process_madvise, own, vector.as_ptr(), 1, libc::MADV_WILLNEED, 0));
    let _ = sys!(SYS_close, own);
}

fn signals() {
    // SAFETY: asks for a number.
    let own = unsafe { libc::getpid() };
    let send = |tid: i32, code: i32| {
        let mut info = [0_i32; 32];
        (info[0], info[2], info[6]) = (libc::SIGUSR1, code, 4711);
        sys!(SYS_rt_tgsigqueueinfo, own, tid, libc::SIGUSR1, info.as_ptr())
    };
    let set = 1_u64 << (libc::SIGUSR1 - 1);
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, 8);
    outcome("to nobody", send(0, -1));
    outcome("to another process", send(1, -1));
    outcome("with a value", send(own, -1));
    let mut info = [0_i32; 32];
    value("taken", sys!(SYS_rt_sigtimedwait, &raw const set, info.as_mut_ptr(), [0_i64, 0].as_ptr(), 8));
    show("is", format!("{} {}", info[2], info[6]));
    outcome("as from the kernel, to itself", send(own, 0));
    let _ = sys!(SYS_rt_sigtimedwait, &raw const set, info.as_mut_ptr(), [0_i64, 0].as_ptr(), 8);
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_UNBLOCK, &raw const set, 0, 8);
}
