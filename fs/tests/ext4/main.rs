//! ext4 against the tools of e2fsprogs, which make and judge the images.

#[path = "../common/mod.rs"]
mod common;

mod compare;
mod hostile;
mod image;
mod journal;
mod layouts;
mod linux;
mod source;
mod trouble;
