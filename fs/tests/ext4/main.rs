//! ext4 against the tools of e2fsprogs, which make and judge the images.

#[path = "../common/mod.rs"]
mod common;

mod compare;
mod debugfs;
mod hostile;
mod image;
mod journal;
mod judge;
mod layouts;
mod linux;
mod source;
mod trouble;
