//! What a message has in it.

use processes::program::Program;

/// What a message begins with: who has sent it, which of his messages it is, and its length.
pub const SENDER_AT: i64 = 0;
pub const NUMBER_AT: i64 = 4;
pub const LEN_AT: i64 = 8;

/// The sender of messages after which there are none, and senders of a kind of their own.
pub const STOP: i64 = 15;
pub const WAITER: i64 = 14;
pub const WATCHER: i64 = 13;

/// The longest message.
pub const LONGEST: usize = 4096;

/// A message of 64 bytes from this sender, without a number.
pub fn stamped(p: &mut Program, sender: i64) -> usize {
    let message = p.data(64);
    p.set_bytes(message + SENDER_AT as usize, &[sender as u8]);
    p.set_bytes(message + LEN_AT as usize, &[64]);
    message
}
