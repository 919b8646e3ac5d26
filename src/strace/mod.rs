//! What a process asks of the kernel, line by line: `/proc/PID/trace`, as strace(1) would print it.
//!
//! ```text
//!   thread ── begins a call ──► arguments that the call reads, as text ─┐ kept for the thread
//!                │ the call                                             │
//!          ── goes on ───────► result, and what the call has written ◄──┘ ──► a line in the Log ──► its reader
//! ```
//!
//! No tracer stops anybody here: a thread writes its own lines, in its own poll, before it begins a call and on its way back
//! to user mode. What brings it there is a bit of the word that each thread looks at before it enters user mode
//! ([`Attention::LOGGED`](crate::process::thread::Attention::LOGGED)), and then the watched way through user mode that
//! ptrace(2) takes, too ([`trace::watch`](crate::process::trace::watch)). Threads that nobody logs have nothing more to
//! look at than before.
//!
//! | File | Concept |
//! |---|---|
//! | `log` | a log: its bounded ring of lines, and whom it is about |
//! | `file` | the file by which a log is read |
//! | `call` | a call from its beginning to its line |
//! | `decode` | an argument as text |
//! | `signatures` | which call has which arguments |
//! | `words` | the names of flags and commands |
//!
//! Locks: the table of logs, then a log's threads, then its ring; all below the process tree.

mod call;
mod decode;
mod file;
mod log;
mod signatures;
mod words;

pub use call::{begins, ended, is_in_call, signal};
pub use file::open;
pub use log::{ends, forget, inherit};
