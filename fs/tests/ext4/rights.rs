//! Rights that several change at once.

use crate::common::run_on;
use crate::image::Image;
use crate::writing::{mount_writable, unmount};
use fs::host::RamDisk;
use fs::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whoever owns a file makes it set-user-id again and again, while root takes it, and gives it back: it never is root's and
/// set-user-id.
#[test]
fn nobody_gets_a_set_user_id_file_of_another() {
    let image = Image::make(&["-t", "ext4"], None, 16);
    run_on(2, async move {
        let ram = RamDisk::new(std::fs::read(image.path()).unwrap(), 512);
        let (tree, disk, _) = mount_writable(ram.clone()).await;
        let file = tree.write_file("/f", b"#!/bin/sh").await.unwrap();
        let root = Credentials::root();
        set_owner(&file, &root, Some(1000), Some(1000)).await.unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (theirs, until) = (file.clone(), is_over.clone());
        let attacker = executor::spawn(async move {
            let user = Credentials::user(1000, 1000, &[]);
            while !until.load(Relaxed) {
                let _ = set_mode(&theirs, &user, 0o4755).await;
                executor::yield_now().await;
            }
        });
        for round in 0..100_000 {
            set_owner(&file, &root, Some(0), Some(0)).await.unwrap();
            executor::yield_now().await;
            let rights = file.inode().attributes().rights();
            assert!(rights.uid == 0 && rights.permissions & 0o4000 == 0, "round {round}: {rights:?}");
            set_owner(&file, &root, Some(1000), Some(1000)).await.unwrap();
            executor::yield_now().await;
        }
        is_over.store(true, Relaxed);
        attacker.await.unwrap();
        drop(file);
        unmount(tree, disk).await;
    });
}
