//! A lock and a counter of our own on raw futexes, with waiters that give up, under many threads and processes.

use crate::Deadline;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use support::process::fork;

/// What threads and processes share.
struct Shared {
    lock: Lock,
    /// Protected by `lock`; kept apart in two halves so that a broken lock shows.
    left: AtomicU64,
    right: AtomicU64,
}

/// A lock word: 0 free, 1 taken, 2 taken and waited for.
struct Lock(AtomicU32);

impl Lock {
    /// Takes the lock. Acquire pairs with the Release in `unlock`.
    fn lock(&self) {
        if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        while self.0.swap(2, Ordering::Acquire) != 0 {
            // Short time-outs race with wakes on purpose.
            let time = [0_i64, 200_000];
            // SAFETY: the word outlives the call.
            unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAIT, 2, time.as_ptr()) };
        }
    }

    fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            // SAFETY: only the word's address is used.
            unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, 1) };
        }
    }
}

impl Shared {
    /// Adds one to both halves under the lock; false if they differed.
    fn add(&self) -> bool {
        self.lock.lock();
        // Relaxed: the lock orders them.
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left + 1, Ordering::Relaxed);
        let right = self.right.load(Ordering::Relaxed);
        self.right.store(right + 1, Ordering::Relaxed);
        self.lock.unlock();
        left == right
    }
}

pub fn run(deadline: Deadline) -> Result<(), String> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh shared mapping.
    let memory =
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err("mmap failed".into());
    }
    // SAFETY: zeroed memory, large enough and aligned, that stays mapped; all its fields are atomics.
    let shared = unsafe { &*memory.cast::<Shared>() };
    let counts: Vec<_> = (0..3)
        .map(|_| {
            fork(|| {
                let threads = || {
                    thread::scope(|scope| {
                        (0..4)
                            .map(|_| scope.spawn(|| work(shared, deadline)))
                            .collect::<Vec<_>>()
                            .into_iter()
                            .all(|thread| thread.join().unwrap_or(false))
                    })
                };
                i32::from(!threads())
            })
            .map_err(|error| error.to_string())
        })
        .collect();
    for child in counts {
        let ended = child?.wait().map_err(|error| error.to_string())?;
        if !ended.success() {
            return Err(format!("a process saw the lock broken: {ended:?}"));
        }
    }
    let (left, right) = (shared.left.load(Ordering::Relaxed), shared.right.load(Ordering::Relaxed));
    let free = shared.lock.0.load(Ordering::Relaxed) != 1;
    if left == right && left > 0 && free {
        Ok(())
    } else {
        Err(format!("halves: {left} {right}, free: {free}"))
    }
}

/// Adds until the deadline; false if the halves ever differed.
fn work(shared: &Shared, deadline: Deadline) -> bool {
    let mut sound = true;
    while deadline.ahead() {
        sound &= (0..100).all(|_| shared.add());
    }
    sound
}
