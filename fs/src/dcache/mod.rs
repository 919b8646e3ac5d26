//! The directory cache: the part of the file tree that has been visited, kept for walking it quickly.
//!
//! ```text
//!   Dentry "/"  ── directory: lock, children ─┐
//!                                             ├─ Entry "usr" ──> Dentry ── inode, directory ── ...
//!                                             ├─ Entry "etc" ──> Dentry ── inode
//!                                             └─ Entry "nope"    (negative: known not to exist)
//! ```
//!
//! A [`Dentry`] is a file that was reached by a name; an [`Entry`](entry::Entry) is the name. Start
//! reading with [`dentry`] (life and count), then [`children`] (the table of a directory), then [`directory`]
//! (changes, under the directory's lock) and [`lru`] (giving memory back).
//!
//! **Readers** (path walks) hold an RCU guard and nothing else: they follow pointers, compare
//! names, and write nothing. What they find was true at some moment during the lookup. A reader may miss an
//! entry that is there (its chain was being rearranged); absence of an entry therefore proves nothing and
//! sends the reader to the directory's lock, under which the cache and the file system are asked
//! again. **Writers** hold the directory's lock. A rename bumps the `moves` counter of the directories it
//! touches before and after, so that no reader sees one half of it.

pub(crate) mod children;
pub(crate) mod dentry;
pub(crate) mod directory;
pub(crate) mod entry;
mod form;
pub(crate) mod lru;
pub(crate) mod name;

pub use dentry::{Dentry, DentryRef};
pub use form::LookupForm;
pub use lru::{CacheStats, set_limit, shrink, stats};
pub(crate) use name::hash as name_hash;
pub use name::set_hash_seed;
