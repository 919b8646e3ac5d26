//! Finding a file by its number.
//!
//! Nobody keeps the numbers: those who ask for a file by one are few, and those who make files many. So the tree is
//! searched, never many entries of it under one lock.

use super::inode::MemInode;
use crate::{FileType, Inode, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;

/// Entries that are looked at under one lock.
const STRETCH: usize = 64;

/// A directory on the way down.
struct Level {
    directory: Arc<dyn Inode>,
    name: Box<[u8]>,
    /// Where its listing goes on.
    next: u64,
}

/// What a stretch of a directory had.
enum Stretch {
    /// The name of the file.
    Wanted(Box<[u8]>),
    /// The name of a directory, and itself.
    Below(Box<[u8]>, Arc<dyn Inode>),
    /// Neither.
    Nothing,
    /// As little, and there is no more.
    End,
}

impl Level {
    fn look(&mut self, number: u64) -> Stretch {
        let Some(Ok(entries)) = self.directory.as_any().downcast_ref().map(MemInode::entries) else {
            return Stretch::End;
        };
        let mut entries = entries.lock();
        let (mut wanted, mut below, mut seen) = (None, None, 0);
        entries.list(self.next, &mut |entry| {
            seen += 1;
            self.next = entry.next;
            if entry.ino == number {
                wanted = Some(entry.name.into());
            } else if entry.kind == FileType::Directory {
                below = Some(Box::<[u8]>::from(entry.name));
            }
            wanted.is_none() && below.is_none() && seen < STRETCH
        });
        match (wanted, below) {
            (Some(name), _) => Stretch::Wanted(name),
            (_, Some(name)) => match entries.get(&name).cloned() {
                Some(inode) => Stretch::Below(name, inode),
                None => Stretch::Nothing,
            },
            _ if seen < STRETCH => Stretch::End,
            _ => Stretch::Nothing,
        }
    }
}

/// The names that lead from a directory to the file of a number, if there are any. What is renamed meanwhile may be missed.
pub(super) async fn find(root: Arc<dyn Inode>, number: u64) -> Result<Option<Vec<Box<[u8]>>>> {
    let mut levels: Vec<Level> = Vec::new();
    let mut below = Some((Box::default(), root));
    loop {
        if let Some((name, directory)) = below.take() {
            levels.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            levels.push(Level { directory, name, next: 0 });
        }
        let Some(level) = levels.last_mut() else { return Ok(None) };
        match level.look(number) {
            Stretch::Wanted(last) => {
                let names = levels.into_iter().skip(1).map(|level| level.name);
                return Ok(Some(names.chain([last]).collect()));
            }
            Stretch::Below(name, directory) => below = Some((name, directory)),
            Stretch::Nothing => {}
            Stretch::End => drop(levels.pop()),
        }
        executor::make_way().await;
    }
}
