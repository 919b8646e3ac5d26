//! Symbols that the prebuilt `core` and `alloc` refer to although this kernel never unwinds.
//!
//! They are compiled with unwinding in mind, for hosted programs; a kernel with `panic = "abort"` has no use for
//! either symbol, but the link wants them.

/// The personality routine of functions with landing pads; only an unwinder would call it.
///
/// # Panics
/// Always.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    unreachable!("the kernel does not unwind")
}

/// Where a landing pad would go on.
///
/// # Panics
/// Always.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    unreachable!("the kernel does not unwind")
}
