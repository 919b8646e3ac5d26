//! Boxes where there may be no memory: stable Rust's end the program then.

use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;

/// A box for a value, not one of size zero; `None` without memory, and the value is dropped.
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    debug_assert!(size_of::<T>() > 0, "nothing needs no box");
    // SAFETY: not of size zero, as the caller says; when not null, the memory has T's layout and is filled before use.
    unsafe {
        let memory = alloc(Layout::new::<T>()).cast::<T>();
        if memory.is_null() {
            return None;
        }
        memory.write(value);
        Some(Box::from_raw(memory))
    }
}
