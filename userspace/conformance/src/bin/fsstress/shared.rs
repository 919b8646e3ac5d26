//! A tree in which all processes are at work at once: each call must end in a way in which it can end there, and in the end
//! the tree must be consistent.

use crate::calls::{self, name_of, number_of};
use crate::compare::listed;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use support::random::Random;

/// Names in each directory, and directories that paths begin with.
const NAMES: u64 = 12;
const DIRECTORIES: u64 = 4;

/// Errors of paths: anything may come, go, and become something else at any time.
const OF_PATHS: [i32; 3] = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP];

/// One process's part.
pub struct Shared<'a> {
    /// The tree's path.
    root: &'a str,
    random: Random,
    space: Option<&'static str>,
}

impl<'a> Shared<'a> {
    pub fn new(root: &'a str, seed: u64, space: Option<&'static str>) -> Self {
        Self { root, random: Random::new(seed), space }
    }

    fn path(&mut self) -> String {
        let root = self.root;
        let (directory, name) = (self.random.below(DIRECTORIES), self.random.below(NAMES));
        match self.random.below(4) {
            0 => format!("{root}/d{directory}"),
            1 => format!("{root}/n{name}"),
            _ => format!("{root}/d{directory}/n{name}"),
        }
    }

    /// One operation.
    pub fn step(&mut self) -> Result<(), String> {
        use libc::{EEXIST, EINVAL, EISDIR, ENODATA, ENOSPC, ENOTEMPTY, ENXIO, EOPNOTSUPP, EPERM, ESPIPE};
        let (path, other) = (self.path(), self.path());
        let random = &mut self.random;
        let (name, result, errors): (_, io::Result<()>, &[i32]) = match random.below(20) {
            0..3 => ("create", calls::create(&path, 0o644).map(drop), &[EEXIST]),
            3..5 => ("mkdir", calls::mkdir(&path, 0o755), &[EEXIST]),
            5 => ("link", fs::hard_link(&path, &other), &[EEXIST, EPERM]),
            6 => {
                // To a name beside it, or to none.
                let target = format!("n{}", random.below(2 * NAMES));
                ("symlink", symlink(target, &path), &[EEXIST])
            }
            7 => ("mkfifo", calls::mkfifo(&path, 0o600), &[EEXIST]),
            8 | 9 => ("unlink", fs::remove_file(&path), &[EISDIR]),
            10 => ("rmdir", fs::remove_dir(&path), &[ENOTEMPTY]),
            11..13 => {
                let flags = *random.of(&[0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE]);
                ("rename", calls::rename(&path, &other, flags), &[EEXIST, EISDIR, ENOTEMPTY, EINVAL])
            }
            13 => ("chmod", fs::set_permissions(&path, Permissions::from_mode(0o700)), &[]),
            14 => ("truncate", calls::truncate(&path, random.below(20_000)), &[EISDIR, EINVAL]),
            15 | 16 => ("write", write(&path, random), &[EISDIR, ENXIO, ESPIPE, EINVAL]),
            17 => ("read", read(&path), &[EISDIR]),
            18 => match self.space {
                Some(space) => {
                    let name = format!("{space}attribute-{}", random.below(3));
                    let result = match random.below(3) {
                        0 => calls::remove_xattr(&path, &name),
                        _ => calls::set_xattr(&path, &name, &[7; 30], 0),
                    };
                    ("attributes", result, &[ENODATA, EPERM, EOPNOTSUPP, ENOSPC])
                }
                None => ("nothing", Ok(()), &[]),
            },
            _ => ("list", list(&path), &[]),
        };
        let number = number_of(&result);
        if number == 0 || errors.contains(&number) || OF_PATHS.contains(&number) {
            return Ok(());
        }
        Err(format!("{name} of {path} and {other} cannot end with {}", name_of(number)))
    }
}

fn write(path: &str, random: &mut Random) -> io::Result<()> {
    let file = calls::open(path, true)?;
    let at = random.below(20_000);
    match random.below(4) {
        0 => match calls::fallocate(&file, 0, at, 5000) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            other => other,
        },
        1 => file.sync_all(),
        _ => file.write_all_at(&vec![at as u8; random.below(5000) as usize], at),
    }
}

fn read(path: &str) -> io::Result<()> {
    let file = calls::open(path, false)?;
    if !file.metadata()?.is_file() {
        return Ok(());
    }
    file.read_at(&mut [0; 5000], 100).map(drop)
}

fn list(path: &str) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        // What is listed may have gone.
        drop(fs::symlink_metadata(entry?.path()));
    }
    Ok(())
}

/// Nobody is at work any more: counts of links are those of names, and files can be read to their ends.
pub fn check(root: &str) -> Result<(), String> {
    let mut pending = vec![root.to_string()];
    // Where each inode is found, and how many links it says that it has.
    let mut inodes: BTreeMap<u64, (Vec<String>, u64)> = BTreeMap::new();
    while let Some(directory) = pending.pop() {
        let wrong = |error: io::Error| format!("in {directory}: {error}");
        let mut directories = 0;
        for name in listed(&directory)? {
            let path = format!("{directory}/{name}");
            let stat = fs::symlink_metadata(&path).map_err(wrong)?;
            if stat.is_dir() {
                directories += 1;
                pending.push(path);
                continue;
            }
            if stat.is_file() {
                let read = fs::read(&path).map_err(wrong)?.len() as u64;
                if read != stat.size() {
                    return Err(format!("{path} has {} bytes, and {read} can be read", stat.size()));
                }
            }
            inodes.entry(stat.ino()).or_insert((Vec::new(), stat.nlink())).0.push(path);
        }
        let links = fs::symlink_metadata(&directory).map_err(wrong)?.nlink();
        if links != directories + 2 {
            return Err(format!("{directory} has {links} links and {directories} directories"));
        }
    }
    match inodes.into_values().find(|(paths, links)| paths.len() as u64 != *links) {
        Some((paths, links)) => Err(format!("{links} links, and these names: {paths:?}")),
        None => Ok(()),
    }
}
