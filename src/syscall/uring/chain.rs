//! Chains: requests of which each begins when the one before has ended. A request without links is a chain of one.
//!
//! ```text
//!   begin ─► polled once, in place ──ended──► its completions are there before `enter` returns
//!                 └─ has to wait: a task, polled on whatever CPU is idle, with the submitter's memory loaded
//!
//!   IOSQE_IO_DRAIN: a chain that waits until all before it have ended, and all after it that until it has begun
//! ```

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};
use core::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

use executor::Titled;
use linux_raw_sys::io_uring::IORING_TIMEOUT_ETIME_SUCCESS;
use syscalls::Errno;

use super::{
    control::Timer,
    operations, perform,
    prepare::{Data, Prepared},
};
use crate::{
    file::uring::{Begun, Request, Ring, entry::*, is_called_off},
    memory,
    process::{Caller, Thread, deputy::Engagement},
    user_memory::SysResult,
};

/// A chain that has not begun.
pub struct Chain {
    /// Who its requests act as.
    pub caller: Arc<Caller>,
    /// Keeps the caller's thread from ending before it.
    pub engagement: Engagement,
    /// Its requests, the next one last.
    pub requests: Vec<Prepared>,
    /// One that could not be read, by its place from the end, and why: then none is begun.
    pub failed: Option<(usize, Errno)>,
}

/// Chains that wait for those before them.
#[derive(Default)]
pub struct Deferred {
    chains: VecDeque<Chain>,
    /// Whether a task waits for their turns.
    is_served: bool,
}

/// The least that [`Ring::backlog`] is.
const BACKLOG: usize = 4096;

impl Ring {
    /// Whether chains wait for those before them, and so everything that comes now does.
    pub fn defers(&self) -> bool {
        self.deferred.lock().is_served
    }

    /// So many chains that wait for those before them are enough for the poller: at least as many as there is room to tell the
    /// results of. What it takes then waits behind them, and only fills the memory; by a wrong tail a program can write more
    /// entries than there ever is memory for.
    fn backlog(&self) -> usize {
        BACKLOG.max(self.memory.completion_count() as usize)
    }

    /// Ends the chains of a thread, which has been called off, that wait for those before them; they need not wait for those of
    /// other threads.
    pub async fn end_deferred(&self, thread: &Arc<Thread>) {
        /// So many are taken out with the lock held.
        const FEW: usize = 8;
        loop {
            let mut found = [const { None }; FEW];
            {
                let mut seen = 0;
                let mut deferred = self.deferred.lock();
                for place in &mut found {
                    let is_its = |chain: &Chain| Arc::ptr_eq(&chain.caller.thread, thread);
                    let next = deferred.chains.range(seen..).position(is_its);
                    seen = next.map_or(deferred.chains.len(), |next| seen + next);
                    *place = deferred.chains.remove(seen);
                }
            }
            if found[0].is_none() {
                return;
            }
            found.into_iter().flatten().for_each(|chain| chain.end(self, Errno::ECANCELED));
            executor::make_way().await;
        }
    }

    /// Whether so many wait that the poller waits for them, too.
    pub fn is_backed_up(&self) -> bool {
        self.deferred.lock().chains.len() >= self.backlog()
    }
}

impl Chain {
    /// Whether it waits until all before it have ended.
    fn drains(&self) -> bool {
        self.requests.iter().any(|prepared| prepared.entry.has(DRAIN))
    }

    /// Whether what it begins with is not to be tried in place.
    fn is_async(&self) -> bool {
        self.requests.last().is_some_and(|prepared| prepared.entry.has(ASYNC))
    }

    /// Ends it without having begun.
    fn end(mut self, ring: &Ring, errno: Errno) {
        while let Some(Prepared { entry, .. }) = self.requests.pop() {
            let errno = match self.failed {
                Some((place, failure)) if place == self.requests.len() => failure,
                _ => errno,
            };
            ring.complete(entry.user_data, -errno.into_raw(), 0);
        }
    }
}

/// What is polled of a chain: the rest of it.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Begins a chain, or has it wait for its turn.
pub fn submit(ring: &Arc<Ring>, chain: Chain, context: &mut Context<'_>) {
    let mut deferred = ring.deferred.lock();
    if !deferred.is_served && (!chain.drains() || ring.is_idle()) {
        drop(deferred);
        begin(ring, chain, context);
        return;
    }
    if is_called_off(&chain.caller.thread, ring) {
        drop(deferred);
        chain.end(ring, Errno::ECANCELED);
        return;
    }
    if memory::check_wait().is_err() || deferred.chains.try_reserve(1).is_err() {
        drop(deferred);
        chain.end(ring, Errno::ENOMEM);
        return;
    }
    deferred.chains.push_back(chain);
    if core::mem::replace(&mut deferred.is_served, true) {
        return;
    }
    drop(deferred);
    let server = serve_deferred(ring.clone());
    match executor::Builder::new().name("ring drain").try_spawn(server) {
        Ok(handle) => handle.detach(),
        Err(_) => refuse_deferred(ring),
    }
}

/// There is no memory for the task that would serve those that wait.
fn refuse_deferred(ring: &Ring) {
    let chains = {
        let mut deferred = ring.deferred.lock();
        deferred.is_served = false;
        core::mem::take(&mut deferred.chains)
    };
    ring.poller.asleep.wake_all();
    for chain in chains {
        chain.end(ring, Errno::ENOMEM);
    }
}

/// Begins the chains that wait, one after the other, each in its turn.
async fn serve_deferred(ring: Arc<Ring>) {
    loop {
        let (next, left) = {
            let mut deferred = ring.deferred.lock();
            let next = deferred.chains.pop_front();
            deferred.is_served = next.is_some();
            (next, deferred.chains.len())
        };
        if left + 1 == ring.backlog() {
            ring.poller.asleep.wake_all();
        }
        let Some(chain) = next else { return };
        let thread = chain.caller.thread.clone();
        if chain.drains() {
            let is_turn = || (ring.is_idle() || is_called_off(&thread, &ring)).then_some(());
            ring.all_ended.wait_until(is_turn).await;
        }
        if is_called_off(&thread, &ring) {
            chain.end(&ring, Errno::ECANCELED);
        } else {
            let mut chain = Some(chain);
            poll_fn(|context| {
                if let Some(chain) = chain.take() {
                    begin(&ring, chain, context);
                }
                Poll::Ready(())
            })
            .await;
        }
        executor::make_way().await;
    }
}

/// Begins a chain: polls it once, and makes it a task if it has to wait, or is to; then others find what it begins with.
fn begin(ring: &Arc<Ring>, chain: Chain, context: &mut Context<'_>) {
    if chain.failed.is_some() {
        chain.end(ring, Errno::ECANCELED);
        return;
    }
    if memory::check_wait().is_err() {
        chain.end(ring, Errno::ENOMEM);
        return;
    }
    let is_async = chain.is_async();
    let Chain { caller, engagement, requests, .. } = chain;
    let untold = Untold { ring: ring.clone(), requests, begun: [None; 2] };
    let mut running: Running = Box::pin(run(ring.begin(), untold, caller.clone(), engagement, is_async));
    if as_caller(&caller, || running.as_mut().poll(context)).is_ready() {
        return;
    }
    // Without memory for the task it is dropped: what has begun of it tells that it is cancelled.
    let _ = spawn(caller, running, None);
}

/// Makes what acts as a deputy a task, on one CPU alone if one is given; ENOMEM.
pub fn spawn(caller: Arc<Caller>, running: Running, cpu: Option<usize>) -> Result<(), Errno> {
    let builder = cpu.map_or_else(executor::Builder::new, |cpu| executor::Builder::new().pin(cpu));
    builder.try_spawn_titled(Operation { caller, running }).map_err(|_| Errno::ENOMEM)?.detach();
    Ok(())
}

/// Does something in the name of a deputy, with its memory loaded.
#[inline]
pub fn as_caller<T>(caller: &Caller, act: impl FnOnce() -> T) -> T {
    let before = Thread::current();
    Thread::announce(Some(&caller.thread));
    caller.space.activate();
    let result = act();
    Thread::announce(before.as_ref());
    result
}

/// A chain as a task.
struct Operation {
    caller: Arc<Caller>,
    running: Running,
}

impl Titled for Operation {
    const TITLE: &'static str = "ring operation";
}

impl Future for Operation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { caller, running } = &mut *self;
        let heap = &caller.process().heap;
        memory::heap::charge(heap, || as_caller(caller, || running.as_mut().poll(context)))
    }
}

/// Requests whose results have not been told. Dropped, it tells that they were cancelled.
struct Untold {
    ring: Arc<Ring>,
    /// Those that have not begun, the next one last.
    requests: Vec<Prepared>,
    /// The names of the one that has begun, and of its limit.
    begun: [Option<u64>; 2],
}

impl Drop for Untold {
    fn drop(&mut self) {
        let waiting = core::iter::from_fn(|| self.requests.pop()).map(|prepared| prepared.entry.user_data);
        for name in self.begun.into_iter().flatten().chain(waiting) {
            self.ring.complete(name, -Errno::ECANCELED.into_raw(), 0);
        }
    }
}

/// Runs a chain. With `is_async` its first poll does no more than list what it begins with.
async fn run(
    _begun: Begun,
    mut untold: Untold,
    caller: Arc<Caller>,
    _engagement: Engagement,
    mut is_async: bool,
) {
    let ring = untold.ring.clone();
    while let Some(prepared) = untold.requests.pop() {
        let entry = prepared.entry;
        let is_limit = |next: &mut Prepared| u32::from(next.entry.opcode) == operations::LINK_TIMEOUT;
        let limit = if entry.is_linked() { untold.requests.pop_if(is_limit) } else { None };
        untold.begun = [Some(entry.user_data), limit.as_ref().map(|limit| limit.entry.user_data)];
        let last = limit.as_ref().map_or(entry, |limit| limit.entry);
        let is_listed_only = core::mem::take(&mut is_async);
        let ended = carry_out(&ring, &caller, prepared, limit, is_listed_only).await;
        untold.begun = [None; 2];
        let failed = ended.has_failed(&entry);
        tell(&ring, &entry, &ended, failed);
        if failed && last.is_linked() && !last.has(HARD_LINK) {
            // What is left of the chain is told of, unless success of this one would not have been.
            if entry.has(SKIP_SUCCESS) {
                untold.requests.clear();
            }
            return;
        }
        executor::make_way().await;
    }
}

/// What has come of a request.
struct Ended {
    /// Its name.
    name: u64,
    result: SysResult,
    /// What its completion says beside that (`IORING_CQE_*`).
    flags: u32,
    /// The bytes that a transfer was asked for.
    asked: u32,
}

impl Ended {
    fn new(request: &Request, result: SysResult) -> Self {
        let (flags, asked) = (request.completion_flags.load(Relaxed), request.asked.load(Relaxed));
        Self { name: request.name(), result, flags, asked }
    }

    /// That of a request that has not begun.
    fn at_once(entry: &Entry, result: SysResult) -> Self {
        Self { name: entry.user_data, result, flags: 0, asked: entry.len }
    }

    /// Whether it ends a chain: a transfer that moved fewer bytes than it was asked for does.
    fn has_failed(&self, entry: &Entry) -> bool {
        match self.result {
            Ok(moved) => {
                let is_transfer = matches!(
                    u32::from(entry.opcode),
                    operations::READ | operations::WRITE | operations::READ_FIXED | operations::WRITE_FIXED
                );
                is_transfer && moved != self.asked as usize
            }
            Err(Errno::ETIME) => entry.op_flags & IORING_TIMEOUT_ETIME_SUCCESS == 0,
            Err(_) => true,
        }
    }
}

fn tell(ring: &Ring, entry: &Entry, ended: &Ended, failed: bool) {
    if entry.has(SKIP_SUCCESS) && !failed {
        return;
    }
    let result = encode(ended.result);
    if u32::from(entry.opcode) == operations::TIMEOUT {
        ring.complete_timeout(ended.name, result);
    } else {
        ring.complete(ended.name, result, ended.flags);
    }
}

/// A result as completions have it. What would be begun anew after a signal has been interrupted.
pub fn encode(result: SysResult) -> i32 {
    match result {
        Ok(value) => i32::try_from(value).unwrap_or(i32::MAX),
        Err(
            Errno::ERESTARTSYS | Errno::ERESTARTNOINTR | Errno::ERESTARTNOHAND | Errno::ERESTART_RESTARTBLOCK,
        ) => -Errno::EINTR.into_raw(),
        Err(errno) => -errno.into_raw(),
    }
}

/// Carries one request out, within a limit if it has one, of which it tells, too. The first poll lists it, and no more if that
/// `is_listed_only`.
async fn carry_out(
    ring: &Arc<Ring>,
    caller: &Arc<Caller>,
    prepared: Prepared,
    limit: Option<Prepared>,
    mut is_listed_only: bool,
) -> Ended {
    let entry = prepared.entry;
    let (enlisted, work) = match perform::begin(ring, caller, prepared) {
        Ok(begun) => begun,
        Err(errno) => {
            if let Some(limit) = limit {
                tell_limit(ring, &limit, Err(Errno::ECANCELED));
            }
            return Ended::at_once(&entry, Err(errno));
        }
    };
    let work = enlisted.run(work, perform::may_move_some(entry.opcode));
    // Whoever polls it next needs not be woken: it becomes a task.
    poll_fn(|_| if core::mem::take(&mut is_listed_only) { Poll::Pending } else { Poll::Ready(()) }).await;
    let result = match limit {
        None => work.await,
        Some(limit) => {
            let (result, of_limit) = within(ring, caller, (enlisted.request(), work), &limit).await;
            tell_limit(ring, &limit, of_limit);
            result
        }
    };
    Ended::new(enlisted.request(), result)
}

fn tell_limit(ring: &Ring, limit: &Prepared, result: SysResult) {
    // Where success is not told of, neither is that the time was up, nor that it was not.
    tell(ring, &limit.entry, &Ended::at_once(&limit.entry, result), false);
}

/// Awaits a request's work until its time is up: what has come of both.
async fn within(
    ring: &Arc<Ring>,
    caller: &Caller,
    (limited, work): (&Request, impl Future<Output = SysResult>),
    limit: &Prepared,
) -> (SysResult, SysResult) {
    let Prepared { entry, data, .. } = limit;
    let request = Request::new(&caller.thread, entry, None);
    if let Data::Deadline(deadline) = data {
        request.deadline.store(*deadline, Relaxed);
    }
    let enlisted = ring.enlist(request);
    let timer = Timer::new(enlisted.request().clone());
    let ends = async move {
        timer.await;
        Ok(())
    };
    let mut timer = pin!(enlisted.run(ends, false));
    let mut work = pin!(work);
    let mut is_lifted = false;
    let mut of_limit = Err(Errno::ECANCELED);
    poll_fn(|context| {
        if let Poll::Ready(result) = work.as_mut().poll(context) {
            return Poll::Ready((result, of_limit));
        }
        if !is_lifted && let Poll::Ready(ended) = timer.as_mut().poll(context) {
            is_lifted = true;
            if ended.is_ok() {
                of_limit = Err(Errno::ETIME);
                let _ = limited.cancel();
                return work.as_mut().poll(context).map(|result| (result, of_limit));
            }
        }
        Poll::Pending
    })
    .await
}
