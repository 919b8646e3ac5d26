//! Received bytes on their way from the interrupt handler to the task: a lock-free ring of one producer and one
//! consumer. The producer is whoever holds the section.

use core::array::from_fn;
use executor::atomic::Ordering::{Acquire, Relaxed, Release};
use executor::atomic::{AtomicU16, AtomicUsize};

use uart_16550::spec::registers::LSR;

/// At 115200 bit/s the task may be 90 ms late before bytes have to wait in the chip.
const CAPACITY: usize = 1024;

/// A byte with the line status that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub byte: u8,
    pub status: LSR,
}

pub struct RxRing {
    /// Relaxed: published by `head`, taken back by `tail`.
    slots: [AtomicU16; CAPACITY],
    /// Bytes ever pushed; wraps. Release by the producer, Acquire by the consumer.
    head: AtomicUsize,
    /// Bytes ever taken; wraps. Release by the consumer, Acquire by the producer.
    tail: AtomicUsize,
}

impl RxRing {
    pub fn new() -> Self {
        Self { slots: from_fn(|_| AtomicU16::new(0)), head: AtomicUsize::new(0), tail: AtomicUsize::new(0) }
    }

    /// Whether [`Self::push`] may be called: for the producer.
    pub fn has_room(&self) -> bool {
        self.head.load(Relaxed).wrapping_sub(self.tail.load(Acquire)) < CAPACITY
    }

    /// Adds a byte, for which there is room.
    pub fn push(&self, received: Received) {
        debug_assert!(self.has_room(), "a byte that nobody has read would be overwritten");
        let head = self.head.load(Relaxed);
        let slot = u16::from_be_bytes([received.status.bits(), received.byte]);
        self.slots[head % CAPACITY].store(slot, Relaxed);
        self.head.store(head.wrapping_add(1), Release);
    }

    /// The `index`th oldest byte; None when there are not so many.
    pub fn peek(&self, index: usize) -> Option<Received> {
        let tail = self.tail.load(Relaxed);
        if index >= self.head.load(Acquire).wrapping_sub(tail) {
            return None;
        }
        let [status, byte] = self.slots[tail.wrapping_add(index) % CAPACITY].load(Relaxed).to_be_bytes();
        Some(Received { byte, status: LSR::from_bits_retain(status) })
    }

    /// Forgets the `count` oldest bytes, all of which were peeked at.
    pub fn consume(&self, count: usize) {
        self.tail.store(self.tail.load(Relaxed).wrapping_add(count), Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_knows_when_it_is_full() {
        let ring = RxRing::new();
        let received = |number: usize| Received { byte: number as u8, status: LSR::PARITY_ERROR };
        for number in 0..CAPACITY {
            assert!(ring.has_room());
            ring.push(received(number));
        }
        assert!(!ring.has_room());
        assert_eq!(ring.peek(0), Some(received(0)));
        assert_eq!(ring.peek(CAPACITY - 1), Some(received(CAPACITY - 1)));
        assert_eq!(ring.peek(CAPACITY), None);
        ring.consume(2);
        assert!(ring.has_room());
        ring.push(received(7));
        assert_eq!(ring.peek(0), Some(received(2)));
        assert_eq!(ring.peek(CAPACITY - 2), Some(received(7)));
    }
    #[test]
    fn two_threads_pass_every_byte_once_and_in_order() {
        let ring = RxRing::new();
        let count = 200_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..count {
                    while !ring.has_room() {
                        std::thread::yield_now();
                    }
                    ring.push(Received {
                        byte: number as u8,
                        status: LSR::from_bits_retain((number >> 8) as u8),
                    });
                }
            });
            let mut number = 0;
            while number < count {
                let Some(received) = ring.peek(0) else {
                    std::thread::yield_now();
                    continue;
                };
                assert_eq!((received.byte, received.status.bits()), (number as u8, (number >> 8) as u8));
                ring.consume(1);
                number += 1;
            }
        });
    }
}
