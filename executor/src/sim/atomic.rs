//! Atomics before each of whose accesses another virtual CPU may get its turn.
//!
//! A run is a sequentially consistent interleaving: orderings are passed on, and mean nothing more.

use super::point;
use core::sync::atomic::{self as real, Ordering};

/// A fence. One thread runs at a time, so it only marks a place to switch.
pub fn fence(order: Ordering) {
    point();
    real::fence(order);
}

macro_rules! atomic {
    ($name:ident $(<$t:ident>)?, $value:ty) => {
        /// As the one of this name in `core`, but before each access another virtual CPU may get its turn.
        #[repr(transparent)]
        pub struct $name$(<$t>)?(real::$name$(<$t>)?);

        impl$(<$t>)? core::ops::Deref for $name$(<$t>)? {
            type Target = real::$name$(<$t>)?;
            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl$(<$t>)? core::ops::DerefMut for $name$(<$t>)? {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }

        impl$(<$t>)? Default for $name$(<$t>)? {
            fn default() -> Self {
                Self(Default::default())
            }
        }

        impl$(<$t>)? core::fmt::Debug for $name$(<$t>)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }

        #[allow(missing_docs, reason = "as in core")]
        impl$(<$t>)? $name$(<$t>)? {
            pub const fn new(value: $value) -> Self {
                Self(real::$name::new(value))
            }

            pub fn into_inner(self) -> $value {
                self.0.into_inner()
            }

            /// # Safety
            /// As in `core`.
            pub unsafe fn from_ptr<'a>(pointer: *mut $value) -> &'a Self {
                // SAFETY: the caller's promise; the types are laid out alike.
                unsafe { &*pointer.cast() }
            }

            pub fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                point();
                self.0.store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.swap(value, order)
            }

            #[allow(clippy::missing_errors_doc, reason = "as in core")]
            pub fn compare_exchange(
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
            #[allow(clippy::missing_errors_doc, reason = "as in core")]
            pub fn compare_exchange_weak(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(old, new, success, failure)
            }

            #[allow(clippy::missing_errors_doc, reason = "as in core")]
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut old = self.load(failure);
                while let Some(new) = change(old) {
                    match self.compare_exchange(old, new, success, failure) {
                        Err(other) => old = other,
                        done => return done,
                    }
                }
                Err(old)
            }
        }
    };
}

macro_rules! operations {
    ($name:ident, $value:ty: $($operation:ident)*) => {
        #[allow(missing_docs, reason = "as in core")]
        impl $name {
            $(pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.$operation(value, order)
            })*
        }
    };
}

macro_rules! integers {
    ($($name:ident $value:ty),*) => {
        $(
            atomic!($name, $value);
            operations!($name, $value:
                fetch_add fetch_sub fetch_or fetch_and fetch_xor fetch_max fetch_min);
        )*
    };
}

integers!(
    AtomicU8 u8, AtomicU16 u16, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize,
    AtomicI8 i8, AtomicI16 i16, AtomicI32 i32, AtomicI64 i64, AtomicIsize isize
);
atomic!(AtomicBool, bool);
operations!(AtomicBool, bool: fetch_or fetch_and fetch_xor);
atomic!(AtomicPtr<T>, *mut T);
