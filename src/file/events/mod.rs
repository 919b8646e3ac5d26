//! Files that are there to be waited on: counters, timers, what happens to files, and sets of other files.
//!
//! All of them are streams; reading, writing, waiting and closing are those of any other. Where to start reading:
//! [`epoll`], then [`mod@counter`], the simplest thing to put into one. And of any stream signals can tell ([`owner`]), and
//! of directories ([`dnotify`]).

pub mod counter;
pub mod dnotify;
pub mod epoll;
pub mod inotify;
pub mod owner;
pub mod process;
pub mod signals;
pub mod timer;

mod nesting;
mod target;
mod watches;

pub use target::Target;
pub use watches::Watches;

use executor::sync::Events;

/// There is something to read.
const READABLE: Events = Events::IN.union(Events::RDNORM);
/// There is room to write.
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
