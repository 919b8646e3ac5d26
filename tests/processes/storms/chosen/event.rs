//! What the observer is told, and what it answers.

use processes::observer::OWN;

/// A round begins.
pub const BEGIN: u32 = OWN;
/// A party is about to ask for what a template says. The answer is a name.
pub const NAMED: u32 = OWN + 1;
/// A request, by its name, cancels another: the answer is that one's name.
pub const AIMED: u32 = OWN + 2;
/// A request is about to be submitted.
pub const SUBMITTED: u32 = OWN + 3;
/// A completion: name, result below the flags, and which ring. The answer is where the buffer is that it tells, or 0.
pub const COMPLETED: u32 = OWN + 4;
/// A word is in the buffer that is there.
pub const LOOKED: u32 = OWN + 5;
/// That one has been looked at, and holds nothing any more.
pub const CLEARED: u32 = OWN + 6;
/// Somebody provides one of a group. The answer is its number, and one more, or 0.
pub const PICKED: u32 = OWN + 7;
/// It is about to be provided, by a request of this name, or in a ring.
pub const PROVIDING: u32 = OWN + 8;
/// It is in a ring.
pub const PROVIDED: u32 = OWN + 9;
/// The ring of a group is about to be done away with, and made anew.
pub const RENEWING: u32 = OWN + 23;
/// It is done away with.
pub const RENEWED: u32 = OWN + 24;
/// Units are about to be written: the first, and how many.
pub const WRITING: u32 = OWN + 10;
/// They have not been.
pub const UNSENT: u32 = OWN + 11;
/// Somebody is about to cancel which requests, and to wait for their ends. The answer is a name.
pub const SYNC: u32 = OWN + 12;
/// He has, with this result, and taken all completions.
pub const SYNCED: u32 = OWN + 13;
/// A party has come to its end.
pub const ENDED: u32 = OWN + 14;
/// A party is about to leave or to be killed, and with it what it has asked for.
pub const LEAVING: u32 = OWN + 15;
/// The descriptor of a source is about to be closed.
pub const CLOSING: u32 = OWN + 16;
/// Nothing more comes out of the stream.
pub const SHUTTING: u32 = OWN + 17;
/// Whether all have come to their end, and nobody reads where there is something to read.
pub const IS_SETTLED: u32 = OWN + 18;
/// Whether no request is left.
pub const IS_OVER: u32 = OWN + 19;
/// Whether the last request has found no buffer in the group.
pub const COUNTED: u32 = OWN + 20;
/// A unit is left in a source.
pub const DRAINED: u32 = OWN + 21;
/// All is over.
pub const END: u32 = OWN + 22;
