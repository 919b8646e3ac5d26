//! Ring and inbox: everything pushed is taken exactly once.

use super::bounded_model;
use crate::queue::{Inbox, Linked, RING_CAPACITY, Ring};
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicPtr, AtomicUsize};
use loom::thread;
use std::ptr;

fn item(n: usize) -> *mut u8 {
    ptr::without_provenance_mut(n)
}

fn steal(ring: &Ring<u8>, taken: &AtomicUsize) {
    let mut loot = [ptr::null_mut(); RING_CAPACITY / 2];
    let count = ring.steal(&mut loot);
    for stolen in &loot[..count] {
        taken.fetch_add(1 << (8 * stolen.addr()), Relaxed);
    }
}

/// Owner pushes and pops past the wrap-around while a thief steals.
#[test]
fn the_ring_gives_each_item_once() {
    loom::model(|| {
        let ring = Arc::new(Ring::new());
        // A byte per item, so that a second taking of the same shows.
        let taken = Arc::new(AtomicUsize::new(0));
        for i in 0..3 {
            ring.push(item(i)).unwrap();
        }
        let thief = {
            let (ring, taken) = (ring.clone(), taken.clone());
            thread::spawn(move || {
                steal(&ring, &taken);
                steal(&ring, &taken);
            })
        };
        let take = |popped: Option<(*mut u8, bool)>| {
            if let Some((popped, _)) = popped {
                taken.fetch_add(1 << (8 * popped.addr()), Relaxed);
            }
        };
        take(ring.pop());
        let mut next = 3;
        while next < 5 {
            match ring.push(item(next)) {
                Ok(()) => next += 1,
                Err(_) => take(ring.pop()),
            }
        }
        take(ring.pop());
        thief.join().unwrap();
        while let Some(popped) = ring.pop() {
            take(Some(popped));
        }
        assert_eq!(taken.load(SeqCst), 0x01_01_01_01_01);
    });
}

#[test]
fn two_thieves_and_the_owner_share_without_overlap() {
    bounded_model(|| {
        let ring = Arc::new(Ring::new());
        let taken = Arc::new(AtomicUsize::new(0));
        for i in 0..3 {
            ring.push(item(i)).unwrap();
        }
        let thieves: Vec<_> = (0..2)
            .map(|_| {
                let (ring, taken) = (ring.clone(), taken.clone());
                thread::spawn(move || steal(&ring, &taken))
            })
            .collect();
        while let Some((popped, _)) = ring.pop() {
            taken.fetch_add(1 << (8 * popped.addr()), Relaxed);
        }
        for thief in thieves {
            thief.join().unwrap();
        }
        assert_eq!(taken.load(SeqCst), 0x01_01_01);
    });
}

struct Letter {
    next: AtomicPtr<Letter>,
    number: usize,
}

#[derive(Clone, Copy)]
struct LetterRef(*mut Letter);

// SAFETY: the letters of the models are leaked.
unsafe impl Send for LetterRef {}

impl Linked for LetterRef {
    type Target = Letter;
    fn as_ptr(self) -> *mut Letter {
        self.0
    }
    unsafe fn from_ptr(pointer: *mut Letter) -> Option<Self> {
        (!pointer.is_null()).then_some(LetterRef(pointer))
    }
    fn set_next(self, next: *mut Letter) {
        // SAFETY: leaked.
        unsafe { &*self.0 }.next.store(next, Relaxed);
    }
    fn next(self) -> *mut Letter {
        // SAFETY: leaked.
        unsafe { &*self.0 }.next.load(Relaxed)
    }
}

fn letter(number: usize) -> LetterRef {
    LetterRef(Box::into_raw(Box::new(Letter { next: AtomicPtr::new(ptr::null_mut()), number })))
}

fn open(letter: LetterRef) -> usize {
    // SAFETY: from `letter`, opened once.
    unsafe { Box::from_raw(letter.0) }.number
}

#[test]
fn the_inbox_delivers_everything_once_and_in_order() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::<LetterRef>::new());
        let senders: Vec<_> = (0..2)
            .map(|who| {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    inbox.push(letter(who * 2));
                    inbox.push(letter(who * 2 + 1));
                })
            })
            .collect();
        let mut opened: Vec<_> = inbox.take().map(open).collect();
        for sender in senders {
            sender.join().unwrap();
        }
        opened.extend(inbox.take().map(open));
        let position = |n| opened.iter().position(|&o| o == n).unwrap();
        assert!(position(0) < position(1) && position(2) < position(3));
        assert_eq!(opened.len(), 4);
    });
}

#[test]
fn an_inbox_may_be_emptied_by_two() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::<LetterRef>::new());
        inbox.push(letter(0));
        inbox.push(letter(1));
        let thief = {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.take().map(open).collect::<Vec<_>>())
        };
        inbox.push(letter(2));
        let mut opened: Vec<_> = inbox.take().map(open).collect();
        opened.extend(thief.join().unwrap());
        opened.extend(inbox.take().map(open));
        opened.sort_unstable();
        assert_eq!(opened, [0, 1, 2]);
    });
}
