//! What an executor must do to take part.

use std::future::Future;
use std::time::Instant;

/// An executor with a number of workers. Clones are handles to the same one.
pub trait Contestant: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    /// Can it have two workers that share their tasks?
    const SHARES: bool;

    /// The handle that awaits a task's output.
    type Join: Future<Output = u64> + Send + 'static;
    /// Waits until a point in time.
    type Sleep: Future + Send + 'static;

    /// Start with this many workers. It is never stopped.
    fn start(workers: usize) -> Self;
    /// Run `main` as an ordinary task; returns when it has ended.
    fn run(&self, main: impl Future<Output = ()> + Send + 'static);
    /// Spawn from a task, and forget.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);
    /// Spawn from a task, to be joined.
    fn spawn_join(&self, future: impl Future<Output = u64> + Send + 'static) -> Self::Join;
    /// A timer.
    fn sleep_until(&self, at: Instant) -> Self::Sleep;

    /// Run two tasks on two threads of their own, each kept on one of two CPUs; returns when both
    /// have ended.
    fn run_pair(
        first: impl Future<Output = ()> + Send + 'static,
        second: impl Future<Output = ()> + Send + 'static,
    ) {
        let thread = std::thread::spawn(|| {
            crate::cpu::keep_on(1);
            let executor = Self::start(1);
            executor.run(async {
                crate::cpu::keep_on(1);
                second.await;
            });
        });
        let executor = Self::start(1);
        executor.run(async {
            crate::cpu::keep_on(0);
            first.await;
        });
        thread.join().expect("the second side failed");
    }

    /// Do 1,000 pieces of work at once, by whatever the executor has for that; `None` if it has
    /// nothing better than spawning them.
    fn split(&self, _pieces: usize, _work: fn()) -> Option<impl Future<Output = ()> + Send + 'static> {
        None::<std::future::Ready<()>>
    }
}
