//! The crate `core`, but that before each atomic access, and in each turn of a loop that waits, another virtual CPU of the
//! executor's simulator may go on.
//!
//! A crate that says `extern crate interleaved as core` has its atomics from here without a change in its sources: so the
//! kernel's own protocols are interleaved as finely as the executor's. What is called by other names (`std`, or `core` as other
//! crates have it) is as always; the types here [dereference](core::ops::Deref) to those.
//!
//! As in the simulator itself, a run is a sequentially consistent interleaving: orderings are passed on, and mean nothing more.

#![no_std]

pub use core::*;

/// Hints to the processor.
pub mod hint {
    pub use core::hint::*;

    /// Somebody else has to do something before the caller's loop ends: somebody else goes on.
    pub fn spin_loop() {
        executor::sim::relax();
    }
}

/// Synchronisation.
pub mod sync {
    pub use core::sync::*;

    /// Atomics.
    pub mod atomic {
        pub use core::sync::atomic::*;

        /// A fence. One thread runs at a time, so it only marks a place to switch.
        pub fn fence(order: Ordering) {
            executor::sim::point();
            core::sync::atomic::fence(order);
        }

        macro_rules! atomic {
            ($name:ident $(<$t:ident>)?, $value:ty) => {
                /// As the one of this name in `core`, but a place to switch before each access.
                #[repr(transparent)]
                pub struct $name$(<$t>)?(core::sync::atomic::$name$(<$t>)?);

                impl$(<$t>)? core::ops::Deref for $name$(<$t>)? {
                    type Target = core::sync::atomic::$name$(<$t>)?;
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
                        Self(core::sync::atomic::$name::new(value))
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
                        executor::sim::point();
                        self.0.load(order)
                    }

                    pub fn store(&self, value: $value, order: Ordering) {
                        executor::sim::point();
                        self.0.store(value, order);
                    }

                    pub fn swap(&self, value: $value, order: Ordering) -> $value {
                        executor::sim::point();
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
                        executor::sim::point();
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
                        executor::sim::point();
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
    }
}
