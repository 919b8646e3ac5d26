//! The last operations, for who has to find out what went wrong.

use crate::operation::Operation;
use std::collections::VecDeque;
use std::sync::Mutex;

/// How many are kept.
const LENGTH: usize = 30;

static LAST: Mutex<VecDeque<(u64, Operation)>> = Mutex::new(VecDeque::new());

/// Notes that an operation is about to begin.
pub fn note(number: u64, operation: &Operation) {
    let mut last = LAST.lock().expect("one thread");
    if last.len() == LENGTH {
        last.pop_front();
    }
    last.push_back((number, *operation));
}

/// Prints them.
pub fn show() {
    println!("the last operations:");
    for (number, operation) in &*LAST.lock().expect("one thread") {
        println!("{number:>8} {operation}");
    }
}

/// Has faults in the file's mappings end the program as other problems do.
pub fn catch_faults() {
    extern "C" fn fault(_: i32) {
        // The fault was in a copy, in the middle of nothing else.
        println!("fsx: SIGBUS: a page of the file that must be there is not");
        show();
        std::process::exit(1);
    }
    // SAFETY: the handler ends the program.
    unsafe { libc::signal(libc::SIGBUS, fault as *const () as usize) };
}
