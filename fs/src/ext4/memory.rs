//! Memory for what must not fail any more: a transaction that has ended is written, contents are stored, and files without names
//! are deleted, so who does that waits until there is some.

use crate::{Page, cache};
use alloc::vec::Vec;
use core::time::Duration;

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
