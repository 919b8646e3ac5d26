//! ext4 against the tools of e2fsprogs, which make and judge the images.

#[path = "../common/mod.rs"]
mod common;

mod acl;
mod again;
mod attributes;
mod compare;
mod crash;
mod debugfs;
mod direct;
mod errors;
mod failures;
mod faults;
mod full;
mod handles;
mod hostile;
mod image;
mod journal;
mod judge;
mod killed;
mod layouts;
mod linux;
mod rights;
mod scarce;
mod seeds;
mod source;
mod trouble;
mod writing;
