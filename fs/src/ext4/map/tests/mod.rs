//! Changing where blocks are: images from mke2fs, judged by e2fsck.

mod hostile;
mod limits;
mod model;
mod shapes;

use super::*;
use crate::{
    Device,
    block::BlockInode,
    ext4::{Ext4, Log, node::Expected, options::LENIENT, volume::Volume},
    host::Image,
};
use executor::atomic::Ordering::Relaxed;
use std::path::PathBuf;
use std::process::Command;
use std::string::String;
use std::sync::atomic::AtomicU32;
use std::vec::Vec;

/// Runs a tool of e2fsprogs, which must end with 0.
fn tool(name: &str, arguments: &[&str]) -> String {
    let paths = std::format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(name).args(arguments).env("PATH", paths).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}:\n{text}");
    text
}

/// A file with a file system, which goes with this value.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

impl Disk {
    fn at_new_path() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = std::format!("rusk-map-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        Disk(std::env::temp_dir().join(name))
    }

    /// A new file system with an empty file `f`.
    fn new(options: &[&str], size: &str) -> Self {
        let disk = Self::at_new_path();
        tool("mke2fs", &[&["-q", "-F"], options, &[disk.path(), size]].concat());
        tool("debugfs", &["-w", "-R", "write /dev/null f", disk.path()]);
        disk
    }

    fn copy(&self) -> Self {
        let copy = Self::at_new_path();
        std::fs::copy(&self.0, &copy.0).unwrap();
        copy
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn check(&self) {
        tool("e2fsck", &["-fn", self.path()]);
    }

    /// Mounts it and takes the file `f`.
    async fn mount(&self) -> Mounted {
        let disk = BlockInode::new(Image::open(&self.0, false).unwrap(), Device(6), 1);
        let ext4 = Ext4::mount(disk, Arc::new(Lines), false, LENIENT).await.unwrap();
        let volume = ext4.volume.clone();
        assert!(volume.transactions.is_some());
        // The first inode that is not the file system's own is that of `lost+found`.
        let number = volume.geometry.first_inode + 1;
        let node = Arc::new(Node::read(&volume, number, Expected::Name).await.unwrap());
        Mounted { ext4, volume, node }
    }
}

/// Shows with a test that fails what a file system has to say.
struct Lines;

impl Log for Lines {
    fn line(&self, text: core::fmt::Arguments<'_>) {
        std::println!("{text}");
    }
}

struct Mounted {
    ext4: Arc<Ext4>,
    volume: Arc<Volume>,
    node: Arc<Node>,
}

impl Mounted {
    /// Unmounts, and waits until that is done.
    async fn end(self) {
        drop((self.node, self.ext4));
        while Arc::strong_count(&self.volume) > 1 {
            executor::yield_now().await;
        }
    }

    async fn change(&self, credits: usize, change: impl FnOnce(&Apply<'_>)) {
        assert!(credits <= 64, "{credits}");
        let apply = self.volume.begin(credits + 1).await.unwrap();
        change(&apply);
        self.node.store(&apply);
    }

    /// Reserves blocks near a place, and inserts them.
    async fn insert(&self, logical: u64, goal: u64, most: u64, written: bool) -> Result<(u64, u64)> {
        let _alone = self.node.map_lock.write().await;
        let blocks = self.volume.reserve(goal, most).await?;
        let (first, count) = (blocks.first(), blocks.count());
        let plan = self.node.plan_insert(logical, blocks, written).await?;
        // What e2fsck wants: no blocks behind the end.
        let size = (logical + count) * self.volume.geometry.block_size;
        self.node.set_stored_size(size.max(self.node.stored_size()));
        self.change(plan.credits(), |apply| plan.apply(apply)).await;
        Ok((first, count))
    }

    async fn remove(&self, range: Range<u64>) -> Result<()> {
        let mut rest = range;
        while !rest.is_empty() {
            let _alone = self.node.map_lock.write().await;
            let plan = self.node.plan_remove(rest.clone()).await?;
            assert!(plan.rest().start == rest.start && plan.rest().end < rest.end);
            rest = plan.rest();
            self.change(plan.credits(), |apply| plan.apply(apply)).await;
        }
        Ok(())
    }

    async fn mark(&self, range: Range<u64>) -> Result<()> {
        let _alone = self.node.map_lock.write().await;
        let plan = self.node.plan_written(range).await?;
        self.change(plan.credits(), |apply| plan.apply(apply)).await;
        Ok(())
    }

    /// Levels below the root of the extents.
    fn depth(&self) -> u8 {
        self.node.block()[6]
    }

    /// The runs of the file before `end`, each with where it begins.
    async fn runs(&self, end: u64) -> Vec<(u64, Run)> {
        let mut runs = Vec::new();
        let mut at = 0;
        while at < end {
            let run = self.node.map(at).await.unwrap();
            runs.push((at, run));
            at += run.count;
        }
        runs
    }

    /// Free blocks, and the file's storage: what may not change when nothing is changed. Groups whose maps are in memory must
    /// have as many free as their descriptors say, or somebody has reserved some.
    async fn taken(&self) -> (u64, u64) {
        // Only then others get what was freed.
        self.volume.commit().await.unwrap();
        for group in self.volume.space.groups() {
            let free = group.descriptor(&self.volume.geometry).free_blocks();
            let maps = group.with_maps(|maps| maps.blocks.free());
            assert!(maps.is_none_or(|maps| maps == free as usize), "{maps:?} of {free}");
        }
        (self.volume.space.free().0, self.node.attributes.blocks.load(Relaxed))
    }
}
