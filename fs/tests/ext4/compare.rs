//! Comparing a tree in an image with the folder that it was made from.

use crate::common::{Tree, read_all};
use fs::*;
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path as HostPath;

fn xattr_names(path: &HostPath) -> BTreeSet<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = vec![0u8; 4096];
    // SAFETY: the path ends with NUL, and the buffer is as long as said.
    let len = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(len).unwrap());
    names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

fn xattr(path: &HostPath, name: &[u8]) -> Vec<u8> {
    let (path, name) = (CString::new(path.as_os_str().as_bytes()).unwrap(), CString::new(name).unwrap());
    let mut value = vec![0u8; 65536];
    // SAFETY: as above.
    let len =
        unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(usize::try_from(len).unwrap());
    value
}

fn kind_of(metadata: &std::fs::Metadata) -> FileType {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => FileType::Directory,
        () if kind.is_symlink() => FileType::Symlink,
        () if kind.is_fifo() => FileType::Fifo,
        () if kind.is_char_device() => FileType::Character,
        () if kind.is_block_device() => FileType::Block,
        () => FileType::Regular,
    }
}

/// The entries of a directory with their types.
async fn entries(directory: &Path) -> Vec<(Vec<u8>, FileType, u64)> {
    let mut entries = Vec::new();
    let mut cookie = 0;
    loop {
        let before = entries.len();
        // A few at a time, so that each listing goes on in the middle.
        let mut room = 37;
        read_dir(directory, cookie, &mut |entry| {
            if room == 0 {
                return false;
            }
            room -= 1;
            cookie = entry.next;
            entries.push((entry.name.to_vec(), entry.kind, entry.ino));
            true
        })
        .await
        .unwrap();
        if entries.len() == before {
            entries.retain(|(name, ..)| !matches!(&name[..], b"." | b".."));
            return entries;
        }
    }
}

/// Compares a directory and all below it.
pub async fn compare(tree: &Tree, host: &HostPath) {
    let mut pending = vec![(host.to_path_buf(), tree.root.clone())];
    let mut files = 0;
    while let Some((host, directory)) = pending.pop() {
        let mut listed = entries(&directory).await;
        listed.retain(|(name, ..)| name != b"lost+found");
        listed.sort_by(|one, other| one.0.cmp(&other.0));
        let mut wanted: Vec<_> =
            std::fs::read_dir(&host).unwrap().map(|entry| entry.unwrap().file_name().into_vec()).collect();
        wanted.sort();
        assert_eq!(listed.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>(), wanted, "in {host:?}");
        for (name, kind, ino) in listed {
            let view = View { start: &directory, ..tree.view() };
            let found = view.lookup(&name, LookupFlags::empty()).await;
            let path = found.unwrap_or_else(|error| panic!("{error:?}: {name:?} in {host:?}"));
            let host = host.join(OsStr::from_bytes(&name));
            compare_one(&path, kind, ino, &host).await;
            files += 1;
            if kind_of(&std::fs::symlink_metadata(&host).unwrap()) == FileType::Directory {
                pending.push((host, path));
            }
        }
        let view = View { start: &directory, ..tree.view() };
        for absent in ["absent", "file-1", &"a".repeat(255)] {
            if !wanted.iter().any(|name| name == absent.as_bytes()) {
                let found = view.lookup(absent.as_bytes(), LookupFlags::empty()).await;
                assert_eq!(found.err(), Some(syscalls::Errno::ENOENT));
            }
        }
    }
    assert!(files > 1000);
}

async fn compare_one(path: &Path, kind: FileType, ino: u64, host: &HostPath) {
    let ours = path.inode().attributes().snapshot();
    let theirs = std::fs::symlink_metadata(host).unwrap();
    assert_eq!(ours.kind, kind_of(&theirs), "{host:?}");
    assert!(kind == ours.kind || kind == FileType::Untyped, "{host:?} is listed as {kind:?}");
    assert_eq!(ours.ino, ino, "{host:?}");
    assert_eq!(ours.mode(), theirs.mode(), "{host:?}");
    assert_eq!((ours.uid, ours.gid), (theirs.uid(), theirs.gid()), "{host:?}");
    assert_eq!(u64::from(ours.links), theirs.nlink(), "{host:?}");
    if theirs.mtime() < 1 << 31 {
        // Of later ones mke2fs forgets the upper bits.
        assert_eq!(ours.modified.seconds, theirs.mtime(), "{host:?}");
    }
    match ours.kind {
        FileType::Regular => {
            assert_eq!(ours.size, theirs.size(), "{host:?}");
            assert!(read_all(path).await.unwrap() == std::fs::read(host).unwrap(), "contents of {host:?}");
        }
        FileType::Symlink => {
            let target = std::fs::read_link(host).unwrap();
            assert_eq!(path.inode().link_target(), Some(target.as_os_str().as_bytes()));
            assert_eq!(ours.size, theirs.size(), "{host:?}");
        }
        FileType::Character | FileType::Block => {
            let (major, minor) = (libc::major(theirs.rdev()), libc::minor(theirs.rdev()));
            assert_eq!((ours.rdev.major(), ours.rdev.minor()), (major, minor), "{host:?}");
        }
        _ => (),
    }
    let inode = path.inode();
    let names = inode.list_xattrs().await.unwrap();
    let names: BTreeSet<Vec<u8>> =
        names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    assert_eq!(names, xattr_names(host), "attributes of {host:?}");
    for name in &names {
        assert_eq!(inode.xattr(name).await.unwrap(), xattr(host, name), "{name:?} of {host:?}");
    }
    assert_eq!(inode.xattr(b"user.none").await, Err(syscalls::Errno::ENODATA));
}
