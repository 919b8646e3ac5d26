//! Models of the lock-free protocols, for loom: it runs each under every interleaving, and every
//! value a load may legally see, up to its bounds.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --profile checked -p rusk-executor --lib models
//! ```
//!
//! A model uses the real data structures with the model checker's atomics under them
//! (`primitive.rs`), and plays the parts of the workers itself, in as few steps as show the point.

mod idle;
mod join;
mod line;
mod queue;
mod rcu;
mod state;
mod timer;
mod waiters;

use crate::worker::Worker;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::Arc;
use std::task::{Wake, Waker};

/// No machine: the models have no workers.
struct Nowhere;

impl crate::Platform for Nowhere {
    fn now() -> u64 {
        0
    }
    fn cycles() -> u64 {
        0
    }
    fn worker() -> Option<&'static Worker> {
        None
    }
    fn in_interrupt() -> bool {
        false
    }
    fn park(_: usize, _: &mut dyn FnMut() -> bool) {}
    fn unpark(_: usize) {}
    fn arm_timer(_: Option<u64>) {}
    fn relax() {
        loom::thread::yield_now();
    }
}

crate::platform!(Nowhere);

/// Check a model that has too many interleavings for all of them: those with up to three
/// preemptions, which is where bugs of this kind are.
fn bounded_model(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A waker that counts.
struct Count(AtomicUsize);

impl Count {
    fn new() -> Arc<Count> {
        Arc::new(Count(AtomicUsize::new(0)))
    }

    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn waker(count: &Arc<Count>) -> Waker {
    count.clone().into()
}
