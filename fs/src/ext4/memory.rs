//! Memory for what must not fail any more: a transaction that has ended is written, contents are stored, and files without names
//! are deleted, so who does that waits until there is some.

use crate::{Page, Result, cache, urgently};
use alloc::vec::Vec;
use core::{future::Future, time::Duration};
use executor::sync::Mutex;
use syscalls::Errno;

/// How long others have to give memory back before it is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Lets others give memory back.
pub(super) async fn wait() {
    executor::sleep(PAUSE).await;
}

/// A page of zeros.
pub(super) async fn page() -> Page {
    loop {
        match cache::new_page().await {
            Ok(page) => return page,
            Err(_) => wait().await,
        }
    }
}

/// Makes room for so many items more.
pub(super) async fn reserve<T>(list: &mut Vec<T>, more: usize) {
    while list.try_reserve(more).is_err() {
        wait().await;
    }
}

/// An empty list with room for so many items.
pub(super) async fn list<T>(room: usize) -> Vec<T> {
    let mut list = Vec::new();
    reserve(&mut list, room).await;
    list
}

/// Carries through what gives blocks back and cannot be taken back any more: does it again when there was no memory, with what
/// is [kept](urgently) for work that others wait for. One after the other by `turn`, so that what one has taken comes back
/// before the next takes more.
pub(super) async fn carry_through<F>(turn: &Mutex<()>, mut work: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let done = work().await;
    if done != Err(Errno::ENOMEM) {
        return done;
    }
    let _turn = turn.lock().await;
    loop {
        match urgently(work()).await {
            Err(Errno::ENOMEM) => wait().await,
            done => return done,
        }
    }
}
