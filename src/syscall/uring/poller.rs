//! The poller of a ring (`IORING_SETUP_SQPOLL`): a task that looks for entries, so that the program need not call.
//!
//! It gives way between looks. When there has been nothing for a while it says so (`IORING_SQ_NEED_WAKEUP`) and sleeps;
//! the program then calls `enter` to wake it.

use alloc::sync::Arc;
use core::{sync::atomic::Ordering::SeqCst, time::Duration};

use executor::{Instant, yield_now};
use linux_raw_sys::io_uring::IORING_SQ_NEED_WAKEUP;
use syscalls::Errno;

use super::{
    chain,
    submit::{Submitter, submit},
};
use crate::{
    file::uring::{Ring, is_called_off},
    memory,
    process::{
        Caller,
        deputy::{Deputy, Engagement},
    },
};

/// Starts a ring's poller, which acts as the caller's deputy and ends with the caller or the ring; `idle` is how long it
/// looks in vain. ENOMEM.
pub fn start(caller: &Caller, ring: &Arc<Ring>, idle: Duration, cpu: Option<usize>) -> Result<(), Errno> {
    let deputy = caller.deputy()?;
    deputy.note(ring)?;
    let deputised = Arc::new(caller.deputised(&deputy));
    let running = run(ring.clone(), deputised.clone(), deputy.clone(), deputy.engage(), idle);
    chain::spawn(deputised, memory::pinned(running)?, cpu)
}

/// Tells who waits that nobody looks any more.
struct End(Arc<Ring>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.poller.is_over.store(true, SeqCst);
        self.0.poller.room.wake_all();
    }
}

async fn run(
    ring: Arc<Ring>,
    caller: Arc<Caller>,
    deputy: Arc<Deputy>,
    engagement: Engagement,
    idle: Duration,
) {
    let end = End(ring.clone());
    let mut submitter = Submitter::deputy(&caller, deputy);
    let is_over = || is_called_off(&caller.thread, &ring);
    let mut busy_until = Instant::now() + idle;
    while !is_over() {
        let may_take = || (!ring.is_disabled() && !ring.is_backed_up() || is_over()).then_some(());
        ring.poller.asleep.wait_until(may_take).await;
        let taken = submit(&ring, &mut submitter, u32::MAX).await;
        if taken.is_ok_and(|taken| taken > 0) {
            ring.poller.room.wake_all();
            busy_until = Instant::now() + idle;
        } else if taken.is_ok() && Instant::now() >= busy_until {
            sleep(&ring, &is_over).await;
            busy_until = Instant::now() + idle;
            continue;
        }
        yield_now().await;
    }
    drop((end, submitter));
    // Last of all: the thread may end now.
    drop(engagement);
}

/// Sleeps until the program calls, unless it has written an entry before it could see that it has to.
async fn sleep(ring: &Ring, is_over: &(impl Fn() -> bool + Sync)) {
    ring.poller.is_wanted.store(false, SeqCst);
    ring.memory.set_flags(IORING_SQ_NEED_WAKEUP, true);
    if ring.submission.lock().await.head == ring.memory.submissions() {
        let called = || (ring.poller.is_wanted.load(SeqCst) || is_over()).then_some(());
        ring.poller.asleep.wait_until(called).await;
    }
    ring.memory.set_flags(IORING_SQ_NEED_WAKEUP, false);
}
