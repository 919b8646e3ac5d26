//! Tests of the whole executor on host threads. Those of one part are beside that part.
//!
//! They are written to be quick under miri, which runs all of them.

mod rcu;
mod sync;
mod tasks;
mod time;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};

/// A number that suits the machine: `full`, or `small` under miri.
fn scaled(full: usize, small: usize) -> usize {
    if cfg!(miri) { small } else { full }
}

/// Counts how many of its clones were dropped.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

impl Drops {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    fn guard(&self) -> DropGuard {
        DropGuard(self.0.clone())
    }
}

struct DropGuard(Arc<AtomicUsize>);

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Pending for ever, and wakes nobody.
struct Never;

impl Future for Never {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
