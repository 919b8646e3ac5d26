//! Threads and the futex between two of them.

use crate::Measured;
use std::arch::asm;
use std::ffi::c_void;
use std::io;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use support::clock::now;

extern "C" fn nothing(argument: *mut c_void) -> *mut c_void {
    argument
}

/// pthread_create and pthread_join of a thread that does nothing, `times` times.
///
/// The library's own calls and not `std::thread`, which adds an alternate signal stack and a name.
pub fn create_and_join(times: u64) -> Measured {
    let start = now();
    for _ in 0..times {
        let mut thread = 0;
        // SAFETY: `nothing` is a valid thread function and gets no data; the thread is joined right away.
        let error = unsafe {
            match libc::pthread_create(&raw mut thread, null(), nothing, null_mut()) {
                0 => libc::pthread_join(thread, null_mut()),
                error => error,
            }
        };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
    }
    Ok(now() - start)
}

/// futex(2) operations on a word that one process alone uses.
const WAIT: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

/// A word that two threads hand back and forth.
struct Turn(AtomicU32);

impl Turn {
    /// Waits until the word is no longer `value`. Acquire pairs with the Release in [`Turn::give`].
    fn wait_while(&self, value: u32) {
        while self.0.load(Ordering::Acquire) == value {
            let word = self.0.as_ptr();
            // SAFETY: the word outlives the call; a null time-out means for ever.
            unsafe { libc::syscall(libc::SYS_futex, word, WAIT, value, null::<libc::timespec>()) };
        }
    }

    /// Stores `value` and wakes the other thread.
    fn give(&self, value: u32) {
        self.0.store(value, Ordering::Release);
        // SAFETY: only the word's address is used.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), WAKE, 1) };
    }
}

/// Two threads hand a word back and forth `round_trips` times, waiting and waking by futex(2).
pub fn futex_ping_pong(round_trips: u64) -> Measured {
    let turn = Turn(AtomicU32::new(0));
    Ok(std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..round_trips {
                turn.wait_while(0);
                turn.give(0);
            }
        });
        let start = now();
        for _ in 0..round_trips {
            turn.give(1);
            turn.wait_while(1);
        }
        now() - start
    }))
}

/// Starts a thread that waits for ever and uses no memory in user space, not even a stack.
pub fn start_waiting() -> io::Result<()> {
    static WORD: AtomicU32 = AtomicU32::new(0);
    const FLAGS: i32 = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let tid: i64;
    // SAFETY: the new thread never leaves this block and touches nothing but registers, so it shares the stack pointer
    // without harm. The kernel reads the word, which is static.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "2:",
            "mov eax, {futex}",
            "mov rdi, {word}",
            "mov esi, {wait}",
            "xor edx, edx",
            "xor r10d, r10d",
            "syscall",
            "jmp 2b",
            "3:",
            futex = const libc::SYS_futex,
            wait = const WAIT,
            word = in(reg) WORD.as_ptr(),
            inlateout("rax") libc::SYS_clone => tid,
            in("rdi") FLAGS as i64, in("rsi") 0_i64, in("rdx") 0_i64, in("r10") 0_i64, in("r8") 0_i64,
            out("rcx") _, out("r11") _,
        );
    }
    if tid > 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-tid as i32)) }
}
