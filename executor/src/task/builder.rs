//! Spawning.

use super::cell::{Boxed, ByTitle, Cell, Job, Named, Titled, Unnamed};
use super::{JoinHandle, Kind, TaskRef, slab};
use crate::boxed::try_box;
use crate::platform::hooks;
use crate::shared::{self, Shared};
use crate::worker::Worker;
use alloc::alloc::{Layout, handle_alloc_error};
use core::fmt;
use core::future::Future;
use core::sync::atomic::Ordering::Relaxed;

/// The urgency of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Lane {
    /// Runs in its turn.
    #[default]
    Normal = 0,
    /// Runs before the others, and ends the turn of a user thread when it is woken: for the tasks
    /// that interrupt handlers wake. When it yields, it waits for one round like everybody else.
    Driver = 1,
    /// Runs only on a CPU that has nothing else to do.
    Background = 2,
}

/// There was no memory for a new task. The future was dropped, nothing else changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnError;

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory for a new task")
    }
}

impl core::error::Error for SpawnError {}

/// Run `future` as a task. A task is polled on any CPU, so it must be `Send`; it outlives its
/// spawner, so it must own what it uses.
///
/// Task context only. Aborts through the allocation error handler when there is no memory;
/// [`try_spawn`] does not.
///
/// # Panics
/// Before [`init`](crate::init).
#[inline]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    match try_spawn(future) {
        Ok(handle) => handle,
        Err(SpawnError) => handle_alloc_error(Layout::new::<F>()),
    }
}

/// As [`spawn`], with an error where there is no memory.
///
/// # Errors
/// [`SpawnError`]: no memory.
#[inline]
pub fn try_spawn<F>(future: F) -> Result<JoinHandle<F::Output>, SpawnError>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    spawn_job(Unnamed(future), Builder::new())
}

/// As [`spawn`], on `cpu` and no other, for ever.
///
/// # Panics
/// If there is no such CPU.
pub fn spawn_on<F>(cpu: usize, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    Builder::new().pin(cpu).spawn(future)
}

/// What else can be said about a task at its spawn.
///
/// ```ignore
/// Builder::new().name("uart").lane(Lane::Driver).pin(0).spawn(uart.run());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Builder {
    name: Option<&'static str>,
    lane: Lane,
    cpu: Option<usize>,
    #[cfg(any(test, feature = "std"))]
    executor: Option<shared::ExecutorId>,
}

impl Builder {
    /// A task in the normal lane that any CPU may run.
    #[must_use]
    pub const fn new() -> Builder {
        Builder {
            name: None,
            lane: Lane::Normal,
            cpu: None,
            #[cfg(any(test, feature = "std"))]
            executor: None,
        }
    }

    /// The name in traces and poll statistics. Without one it is the future's type.
    #[must_use]
    pub const fn name(self, name: &'static str) -> Builder {
        Builder { name: Some(name), ..self }
    }

    /// The lane.
    #[must_use]
    pub const fn lane(self, lane: Lane) -> Builder {
        Builder { lane, ..self }
    }

    /// Run on this CPU only.
    #[must_use]
    pub const fn pin(self, cpu: usize) -> Builder {
        Builder { cpu: Some(cpu), ..self }
    }

    /// Spawn; see [`spawn`].
    ///
    /// # Panics
    /// If it is pinned to a CPU that does not exist.
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        match self.try_spawn(future) {
            Ok(handle) => handle,
            Err(SpawnError) => handle_alloc_error(Layout::new::<F>()),
        }
    }

    /// Spawn; see [`try_spawn`].
    ///
    /// # Errors
    /// [`SpawnError`]: no memory.
    ///
    /// # Panics
    /// If it is pinned to a CPU that does not exist.
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        match self.name {
            Some(name) => spawn_job(Named { name, future }, self),
            None => spawn_job(Unnamed(future), self),
        }
    }

    /// Spawn a future that is named by its type; see [`try_spawn`].
    ///
    /// # Errors
    /// [`SpawnError`]: no memory.
    ///
    /// # Panics
    /// If it is pinned to a CPU that does not exist.
    #[inline(always)]
    pub fn try_spawn_titled<F>(self, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Titled + Send + 'static,
        F::Output: Send,
    {
        spawn_job(ByTitle(future), self)
    }

    /// Spawn into an executor that the caller need not be part of.
    #[cfg(all(any(test, feature = "std"), not(loom)))]
    pub(crate) fn spawn_in<F>(mut self, shared: &'static Shared, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.executor = Some(shared.id);
        self.spawn(future)
    }
}

#[inline(always)]
fn spawn_job<J: Job + 'static>(job: J, builder: Builder) -> Result<JoinHandle<J::Output>, SpawnError> {
    if const { slab::class_of(Layout::new::<Cell<J>>()).is_some() } {
        launch(job, builder)
    } else {
        launch(Boxed(try_box(job).ok_or(SpawnError)?.into()), builder)
    }
}

#[inline(always)]
fn launch<J: Job + 'static>(job: J, builder: Builder) -> Result<JoinHandle<J::Output>, SpawnError> {
    let class = const {
        match slab::class_of(Layout::new::<Cell<J>>()) {
            Some(class) => class,
            // A large future itself; only its box is ever launched.
            None => 0,
        }
    };
    debug_assert!(!hooks::in_interrupt(), "an interrupt handler must not spawn");
    let worker = hooks::worker();
    #[cfg(any(test, feature = "std"))]
    let worker = worker.filter(|here| builder.executor.is_none_or(|id| id == here.shared().id));
    #[cfg(any(test, feature = "std"))]
    let outside = || builder.executor.map_or_else(shared::default_executor, shared::executor);
    #[cfg(not(any(test, feature = "std")))]
    let outside = shared::default_executor;
    let shared: &'static Shared = worker.map_or_else(outside, Worker::shared);
    shared.check_cpu(builder.cpu);
    let cell = match worker {
        Some(worker) => worker.cells().take(class, &shared.slab),
        None => shared.slab.take_one(class),
    };
    let task = TaskRef(cell.ok_or(SpawnError)?);
    let header = task.header();
    let drops_output = const { core::mem::needs_drop::<J::Output>() };
    header.vtable.set(&Cell::<J>::VTABLE);
    header.kind.set(Kind::new(builder.lane, builder.cpu.is_some(), drops_output, class));
    header.cpu.set(builder.cpu.unwrap_or(0) as u8);
    header.executor.set(shared.id);
    header.id.store(worker.map_or_else(|| shared.next_id(), Worker::next_id), Relaxed);
    header.origin.set(shared.line.clock());
    // SAFETY: `take` gave us a free cell of this class, which is large enough for J.
    unsafe { Cell::fill(task.0, job) };
    let handle = JoinHandle::new(task);
    header.state.spawned();
    match worker {
        Some(worker) => worker.push_spawned(task, builder.lane == Lane::Normal && builder.cpu.is_none()),
        None => shared.push_from_outside(task),
    }
    Ok(handle)
}
