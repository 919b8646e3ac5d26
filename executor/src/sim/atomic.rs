//! Atomics before each of whose accesses another virtual CPU may get its turn.

use super::point;
use core::sync::atomic::{self as real, Ordering};

/// A fence. One thread runs at a time, so it only marks a place to switch.
pub(crate) fn fence(order: Ordering) {
    point();
    real::fence(order);
}

macro_rules! common {
    ($name:ident $(<$t:ident>)?, $real:ty, $value:ty) => {
        // Not every type has a user for every operation.
        #[allow(dead_code)]
        impl$(<$t>)? $name$(<$t>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(<$real>::new(value))
            }
            pub(crate) fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                point();
                self.0.store(value, order);
            }
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.swap(value, order)
            }
            pub(crate) fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(old, new, success, failure)
            }
            /// Never fails spuriously, for the sake of repeatability.
            pub(crate) fn compare_exchange_weak(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(old, new, success, failure)
            }
        }
    };
}

macro_rules! integer {
    ($name:ident, $real:ty, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name($real);
        common!($name, $real, $value);
        #[allow(dead_code)]
        impl $name {
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_add(value, order)
            }
            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_sub(value, order)
            }
            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_or(value, order)
            }
            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_and(value, order)
            }
        }
    };
}

integer!(AtomicU8, real::AtomicU8, u8);
integer!(AtomicU32, real::AtomicU32, u32);
integer!(AtomicU64, real::AtomicU64, u64);
integer!(AtomicUsize, real::AtomicUsize, usize);

#[derive(Debug, Default)]
pub(crate) struct AtomicBool(real::AtomicBool);
common!(AtomicBool, real::AtomicBool, bool);

#[derive(Debug)]
pub(crate) struct AtomicPtr<T>(real::AtomicPtr<T>);
common!(AtomicPtr<T>, real::AtomicPtr<T>, *mut T);
