//! e2fsck over thousands of images: each takes a few milliseconds.

use crate::common::run;
use crate::debugfs;
use crate::image::{Image, mount, run_tool};
use crate::journal::{Files, dirty, same_trees, walk};
use crate::source;
use fs::host::{RamDisk, Snapshot};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path as HostPath, PathBuf};

/// Has e2fsck look at an image and change nothing. An error is what it printed.
pub fn e2fsck(path: &HostPath) -> Result<(), String> {
    let (code, text) = run_tool("e2fsck", &["-fn", path.to_str().unwrap()]);
    // It would have looked at what is older than the journal.
    let is_whole = !text.contains("skipping journal recovery");
    if code == Some(0) && is_whole { Ok(()) } else { Err(format!("e2fsck ended with {code:?}:\n{text}")) }
}

/// Whether e2fsck prints such a line when it does what follows from a stop of the machine, and nothing else.
fn is_expected(line: &str) -> bool {
    const EXPECTED: [&str; 9] = [
        "e2fsck 1.",
        "Pass ",
        ": recovering journal",
        "Clearing orphaned inode ",
        "Truncating orphaned inode ",
        // Of the superblock's own counts, which are the sums of the groups', nobody takes care until the end. Without -f
        // that is all that is said about it.
        "Setting free inodes count to ",
        "Setting free blocks count to ",
        "***** FILE SYSTEM WAS MODIFIED *****",
        ": clean, ",
    ];
    line.trim().is_empty() || EXPECTED.iter().any(|expected| line.contains(expected))
}

/// A file in memory that holds one image after the other. Of each only what is not shared with the one before is written.
///
/// Each thread has its own.
pub struct Judge {
    file: File,
    now: Option<Snapshot>,
}

impl Judge {
    pub fn new() -> Self {
        // SAFETY: the name ends with NUL.
        let file = unsafe { libc::memfd_create(c"image".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(file >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: just made, and nobody else's.
        Judge { file: unsafe { File::from_raw_fd(file) }, now: None }
    }

    /// Under which other processes find the file.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    fn load(&mut self, image: &Snapshot) -> PathBuf {
        image.save(&self.file, self.now.as_ref()).unwrap();
        self.now = Some(image.clone());
        self.path()
    }

    /// Has e2fsck look at a file system whose journal is empty. An error is what it printed.
    pub fn check(&mut self, image: &Snapshot) -> Result<(), String> {
        e2fsck(&self.load(image))
    }

    /// Has e2fsck do what a machine must do that comes back: replay the journal, remove what was deleted and still open.
    /// There must be nothing else to do. Gives what that leaves; an error is what e2fsck printed.
    pub fn recover(&mut self, image: &Snapshot) -> Result<Snapshot, String> {
        let path = self.load(image);
        let (code, text) = run_tool("e2fsck", &["-y", path.to_str().unwrap()]);
        self.now = None;
        if !matches!(code, Some(0 | 1)) || !text.lines().all(is_expected) {
            return Err(format!("e2fsck ended with {code:?}:\n{text}"));
        }
        let image = image.reload(&self.file).unwrap();
        self.now = Some(image.clone());
        e2fsck(&path)?;
        Ok(image)
    }

    /// All that debugfs finds in a file system whose journal is empty, as [`walk_image`] gives it.
    pub fn walk(&mut self, image: &Snapshot) -> Files {
        debugfs::walk(&self.load(image))
    }
}

/// All that we find in an image.
pub async fn walk_image(image: &Snapshot) -> fs::Result<Files> {
    let (tree, _) = mount(RamDisk::of(image.clone())).await;
    Ok(walk(&tree?).await)
}

#[test]
fn images_are_judged() {
    let image = Image::make(&["-t", "ext4", "-b", "1024"], None, 8);
    let whole = Snapshot::new(&std::fs::read(image.path()).unwrap());
    // A directory that its parent does not know.
    image.debugfs("unlink /lost+found\n");
    let broken = Snapshot::new(&std::fs::read(image.path()).unwrap());
    let mut judge = Judge::new();
    for _ in 0..3 {
        judge.check(&whole).unwrap();
        judge.recover(&whole).unwrap();
        let problem = judge.check(&broken).unwrap_err();
        assert!(problem.contains("Unconnected directory inode 11"), "{problem}");
        let problem = judge.recover(&broken).unwrap_err();
        assert!(problem.contains("Unconnected directory inode 11"), "{problem}");
    }
}

/// e2fsck replays a journal, and finds what we find.
#[test]
fn journals_are_judged() {
    let dirty = dirty(&[], "jo -c -v 3");
    let before = Snapshot::new(&dirty.before);
    let mut judge = Judge::new();
    let problem = judge.check(&before).unwrap_err();
    assert!(problem.contains("skipping journal recovery"), "{problem}");
    let after = judge.recover(&before).unwrap();
    judge.check(&after).unwrap();
    assert!(after != before);
    run(async move {
        let theirs = judge.walk(&after);
        assert!(theirs.contains_key(&b"/third"[..]) && !theirs.contains_key(&b"/never"[..]));
        same_trees(&walk_image(&before).await.unwrap(), &theirs);
        same_trees(&walk_image(&after).await.unwrap(), &theirs);
    });
}

/// Files that were deleted while they were open.
#[test]
fn orphans_are_judged() {
    let image = Image::make(&["-t", "ext4", "-b", "1024"], None, 8);
    image.debugfs("write /proc/self/status f\nsif f links_count 0\nunlink f\nssv last_orphan 12\n");
    let image = Snapshot::new(&std::fs::read(image.path()).unwrap());
    let mut judge = Judge::new();
    let after = judge.recover(&image).unwrap();
    judge.check(&after).unwrap();
    assert!(!judge.walk(&after).contains_key(&b"/f"[..]));
}

/// A tree with all kinds of files, as debugfs finds it and as we do.
#[test]
fn debugfs_finds_what_we_find() {
    let image = Image::make(&["-t", "ext4"], Some(source::folder()), 48);
    let image = Snapshot::new(&std::fs::read(image.path()).unwrap());
    run(async move {
        let theirs = Judge::new().walk(&image);
        assert!(theirs.len() > 1000);
        same_trees(&walk_image(&image).await.unwrap(), &theirs);
    });
}
