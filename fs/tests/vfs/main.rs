//! The virtual file system and what lies in memory under it: names, caches, pipes, archives.
//!
//! One program, because what is asynchronous is compiled where it is awaited, for each program anew. Only what sets a limit of
//! the whole process has one of its own.

#[path = "../common/mod.rs"]
mod common;

mod cpio;
mod handles;
mod memfs;
mod page_cache;
mod pipe;
mod procfs;
mod recorder;
mod tree;
mod waiting;
