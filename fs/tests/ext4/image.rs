//! Images made by e2fsprogs, and mounting them.

use crate::common::Tree;
use crate::judge;
use fs::block::{BlockDeviceRef, BlockInode};
use fs::ext4::{Ext4, Log, Options};
use fs::host::Image as Disk;
use fs::*;
use std::path::{Path as HostPath, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A folder that goes with this value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("rusk-ext4-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &HostPath {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Runs a tool of e2fsprogs.
pub fn output_of(name: &str, arguments: &[&str]) -> Output {
    // It is found here, because with another PATH for the child `Command` forks, which for a process as large as a test
    // takes ten times as long as what the tools do.
    let paths = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let found = std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.exists());
    let output = Command::new(found.as_deref().unwrap_or(HostPath::new(name))).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{name} (of e2fsprogs) does not start: {error}"))
}

/// Runs a tool of e2fsprogs and returns its status and what it printed.
pub fn run_tool(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = output_of(name, arguments);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

/// Runs a tool of e2fsprogs and returns what it printed; its status must be one of those in `fine`.
pub fn tool(name: &str, arguments: &[&str], fine: &[i32]) -> String {
    let (code, text) = run_tool(name, arguments);
    assert!(
        code.is_some_and(|code| fine.contains(&code)),
        "{name} {arguments:?} ended with {code:?}:\n{text}"
    );
    text
}

/// A file system in a file.
pub struct Image {
    folder: Folder,
}

impl Image {
    /// Makes one of so many MiB with the files of a folder.
    pub fn make(options: &[&str], source: Option<&HostPath>, size: u32) -> Self {
        let image = Image { folder: Folder::new() };
        let (path, size) = (image.path(), format!("{size}M"));
        let mut arguments = vec!["-q", "-F"];
        arguments.extend(options);
        if let Some(source) = source {
            arguments.extend(["-d", source.to_str().unwrap()]);
        }
        arguments.extend([path.to_str().unwrap(), &size]);
        tool("mke2fs", &arguments, &[0]);
        image
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Has e2fsck look at it.
    pub fn check(&self) {
        judge::e2fsck(&self.path()).unwrap_or_else(|text| panic!("{text}"));
    }

    /// Has e2fsck give its directories trees of these hashes.
    pub fn index(&self, hash: &str) {
        tool("tune2fs", &["-E", &format!("hash_alg={hash}"), self.path().to_str().unwrap()], &[0]);
        tool("e2fsck", &["-fyD", self.path().to_str().unwrap()], &[0, 1]);
    }

    /// Has debugfs change it.
    pub fn debugfs(&self, commands: &str) -> String {
        let script = self.folder.path().join("commands");
        std::fs::write(&script, commands).unwrap();
        tool("debugfs", &["-w", "-f", script.to_str().unwrap(), self.path().to_str().unwrap()], &[0])
    }

    /// Its disk.
    pub fn disk(&self, read_only: bool) -> Arc<Disk> {
        Disk::open(&self.path(), read_only).unwrap()
    }
}

/// Keeps what a file system has to say.
#[derive(Default)]
pub struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn line(&self, text: std::fmt::Arguments<'_>) {
        // Shown with a test that fails.
        println!("{text}");
        self.0.lock().unwrap().push(text.to_string());
    }
}

impl Lines {
    /// What it has said since the last time.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Options of tests that go on where something is wrong.
pub const LENIENT: Options = Options { stop_at_errors: false, commit: 5 };

/// Mounts a disk.
pub async fn mount(disk: BlockDeviceRef) -> (Result<Tree>, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let disk = BlockInode::new(disk, Device(6), 1);
    let mounted = Ext4::mount(disk, lines.clone(), true, Options::default()).await;
    (mounted.map(|file_system| Tree::with_flags(file_system, MountFlags::READ_ONLY)), lines)
}

/// Mounts an image in which all is as it must be.
pub async fn mount_clean(image: &Image) -> Tree {
    let (tree, lines) = mount(image.disk(true)).await;
    assert_eq!(lines.take(), [""; 0]);
    tree.unwrap()
}
