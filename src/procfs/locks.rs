//! `/proc/locks`: the advisory locks of files, held and waited for (proc_locks(5)).

use alloc::vec::Vec;
use core::fmt::Write;

use fs::{Op, procfs::Text};
use syscalls::Errno;

use super::text::{LongText, Made, TextBuffer};
use crate::file::lock::{self, FileLocks, Lock, Owner};

/// `/proc/locks`.
pub struct Locks;

impl Text for Locks {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::waiting(async {
            let mut text = LongText::default();
            let mut count = 0;
            for file in lock::files()? {
                let (held, waiting) = file.list()?;
                let waiting = placed(&held, waiting).await?;
                for (place, lock) in held.iter().enumerate() {
                    count += 1;
                    text.append(&TextBuffer::filled(|out| line(out, count, 0, lock, &file))?)?;
                    for waiting in waiting.iter().filter(|waiting| waiting.behind == place) {
                        let line =
                            |out: &mut TextBuffer| line(out, count, waiting.depth, &waiting.lock, &file);
                        text.append(&TextBuffer::filled(line)?)?;
                    }
                    executor::make_way().await;
                }
            }
            text.into_bytes().await
        })
    }
}

/// A lock that is waited for.
struct Waiting {
    lock: Lock,
    /// Which of the locks that are held it waits for, over others or not.
    behind: usize,
    /// Over how many others.
    depth: usize,
}

/// Says of locks that are waited for which held one each waits for; behind others, if these are in its way and came before it.
/// Whoever waits behind another follows it.
async fn placed(held: &[Lock], waiting: Vec<Lock>) -> Result<Vec<Waiting>, Errno> {
    let mut placed: Vec<Waiting> = Vec::new();
    placed.try_reserve(waiting.len()).map_err(|_| Errno::ENOMEM)?;
    for lock in waiting {
        // One that nobody holds any more is about to be had.
        let Some(behind) = held.iter().position(|held| held.excludes(&lock)) else { continue };
        let (mut depth, mut from, mut end) = (1, 0, placed.len());
        let is_before = |other: &Waiting, depth| {
            other.behind == behind && other.depth == depth && other.lock.excludes(&lock)
        };
        while let Some(place) = placed[from..end].iter().position(|other| is_before(other, depth)) {
            from += place + 1;
            let followers = placed[from..end].iter().take_while(|other| other.depth > depth).count();
            end = from + followers;
            depth += 1;
        }
        placed.insert(end, Waiting { lock, behind, depth });
        executor::make_way().await;
    }
    Ok(placed)
}

/// One line. What waits stands to the right of what it waits for.
fn line(out: &mut TextBuffer, number: usize, depth: usize, lock: &Lock, file: &FileLocks) -> Made {
    write!(out, "{number}: ")?;
    if depth > 0 {
        write!(out, "{:>1$}", "-> ", depth + 2)?;
    }
    let kind = match lock.record.owner {
        _ if lock.is_whole => "FLOCK ",
        Owner::File(_) => "OFDLCK",
        Owner::Table(_) => "POSIX ",
    };
    let how = if lock.record.exclusive { "WRITE" } else { "READ" };
    let (device, number) = file.file;
    write!(out, "{kind} ADVISORY  {how} {} ", lock.record.pid)?;
    write!(out, "{:02x}:{:02x}:{number} ", device.major(), device.minor())?;
    match lock.record.extent {
        extent if extent.last == i64::MAX as u64 => writeln!(out, "{} EOF", extent.first)?,
        extent => writeln!(out, "{} {}", extent.first, extent.last)?,
    }
    Ok(())
}
