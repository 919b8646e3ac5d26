//! Large transfers between a file and user memory: cut into pieces, which idle CPUs copy too.
//!
//! ```text
//!   read(fd, buffer, 1 GiB) ──► fan_out: piece 0, 1, 2 ...    each CPU loads the caller's address space and copies
//!                                    │
//!                                    ▼  all done, or something stopped one: how far there is no gap
//!                               one step of the ordinary kind finds out what, and waits for it; then on in pieces
//! ```
//!
//! A transfer counts up to its first gap, whatever was copied behind it. When it is given up, because the thread must
//! exit or the call's future is dropped, no CPU touches the program's memory or the file any more.

use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, Release, SeqCst},
};

use crate::{
    memory::AddressSpace,
    process::{Caller, Thread},
    user_memory::UserBuffer,
};

/// Bytes in a piece: some microseconds of copying, and the most that is copied in one go.
pub const PIECE: usize = 64 << 10;

/// Transfers of so many bytes are cut into pieces.
pub const LARGE: usize = 4 * PIECE;

/// The most bytes that are moved in one go, so that little is begun behind a gap.
const MOST: usize = 1024 * PIECE;

/// How often a CPU tries to bring in a page whose address space another is changing.
const PATIENCE: usize = 1000;

/// What the CPUs that copy share.
struct Transfer {
    thread: Arc<Thread>,
    space: Arc<AddressSpace>,
    /// The range of user memory.
    address: usize,
    len: usize,
    /// Where the first gap begins, bytes from the start.
    gap: AtomicUsize,
    /// One behind the last byte that was moved.
    touched: AtomicUsize,
    /// Nothing is to be moved any more.
    over: AtomicBool,
    /// Pieces that are being moved.
    running: AtomicUsize,
}

/// How far a transfer came, in bytes from its start.
#[derive(Clone, Copy)]
pub struct Moved {
    /// So many have been moved without a gap.
    pub count: usize,
    /// None at or behind this one has been moved.
    pub touched: usize,
}

/// Moves bytes between `buffer` and a file in pieces. `step` moves those from an offset in the buffer on that the
/// part of the buffer it gets has room for, and says how many; `None` when it would have to wait, or failed.
///
/// Fewer than all have been moved when a step did not move its part: at the end of a file, for instance, or where
/// user memory needs something that must be waited for. The transfer also stops short when the thread has to exit, and
/// when it has moved very much.
pub async fn in_pieces(
    caller: &Caller,
    buffer: &UserBuffer,
    len: usize,
    step: impl Fn(usize, &mut UserBuffer) -> Option<usize> + Send + Sync + 'static,
) -> Moved {
    let len = len.min(MOST);
    let transfer = Arc::new(Transfer {
        thread: caller.thread.clone(),
        space: caller.space.clone(),
        address: buffer.address(),
        len,
        gap: AtomicUsize::new(len),
        touched: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        running: AtomicUsize::new(0),
    });
    let end = End(transfer.clone());
    executor::fan_out(len.div_ceil(PIECE), move |index| transfer.piece(index, &step)).await;
    // Relaxed: `fan_out` orders what the pieces did before its end.
    Moved { count: end.0.gap.load(Relaxed), touched: end.0.touched.load(Relaxed) }
}

/// The end of a transfer, at its drop.
struct End(Arc<Transfer>);

impl Drop for End {
    fn drop(&mut self) {
        // Either a CPU that begins a piece sees this, or it is counted below: both sides are SeqCst.
        self.0.over.store(true, SeqCst);
        // A piece is short, and nothing in it waits. Acquire, in SeqCst: its copying is over.
        while self.0.running.load(SeqCst) > 0 {
            core::hint::spin_loop();
        }
    }
}

impl Transfer {
    fn piece(&self, index: usize, step: &impl Fn(usize, &mut UserBuffer) -> Option<usize>) {
        let start = index * PIECE;
        self.running.fetch_add(1, SeqCst);
        if self.is_over() {
            self.stop_at(start);
        } else if start < self.gap.load(Relaxed) {
            self.copy(start, (start + PIECE).min(self.len), step);
        }
        // Release: pairs with the load in `End`.
        self.running.fetch_sub(1, Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(SeqCst) || self.thread.is_killed()
    }

    fn copy(&self, start: usize, end: usize, step: &impl Fn(usize, &mut UserBuffer) -> Option<usize>) {
        // On a helping CPU another space may be loaded. This one stays until the CPU needs another.
        self.space.activate();
        let mut at = start;
        while let Ok(mut part) = UserBuffer::new(self.address + at, end - at)
            && let Some(moved) = step(at, &mut part)
        {
            at += moved;
            if !part.missing().is_some_and(|(address, access)| self.bring_in(address, access)) {
                break;
            }
        }
        self.touched.fetch_max(at, Relaxed);
        if at < end {
            self.stop_at(at);
        }
    }

    fn stop_at(&self, at: usize) {
        self.gap.fetch_min(at, Relaxed);
    }

    /// Brings in a missing page; false if that must be waited for or cannot be.
    fn bring_in(&self, address: usize, access: crate::arch::user::Access) -> bool {
        for _ in 0..PATIENCE {
            if let Some(result) = self.space.fault_now(address, access) {
                return result.is_ok();
            }
            core::hint::spin_loop();
        }
        false
    }
}
