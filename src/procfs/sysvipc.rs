//! `/proc/sysvipc`: the objects of System V IPC (sysvipc(7)).

use alloc::{sync::Arc, vec::Vec};
use core::fmt::Write;

use fs::{Op, procfs::Text};
use syscalls::Errno;

use super::text::{Made, TextBuffer};
use crate::ipc::{
    messages::QUEUES,
    segments::{SEGMENTS, count_mappings},
    semaphores::SETS,
    table::{Entry, Table},
};

/// All objects of a kind.
fn all<T>(table: &Table<T>) -> Result<Vec<Arc<Entry<T>>>, Errno> {
    let (mut entries, mut from) = (Vec::new(), 0);
    while let Some((index, entry)) = table.next(from) {
        entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        entries.push(entry);
        from = index + 1;
    }
    Ok(entries)
}

/// `shm`, which has to look through all programs' mappings.
pub struct Segments;

impl Text for Segments {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::waiting(async {
            let entries = all(&SEGMENTS)?;
            let mappings = count_mappings(&entries).await?;
            TextBuffer::filled(|out| write_segments(&entries, &mappings, out))
        })
    }
}

fn write_segments(
    entries: &[Arc<Entry<crate::ipc::segments::Segment>>],
    mappings: &[usize],
    out: &mut TextBuffer,
) -> Made {
    write!(
        out,
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid "
    )?;
    writeln!(out, "     atime      dtime      ctime                   rss                  swap")?;
    for (entry, mappings) in entries.iter().zip(mappings) {
        let (access, segment) = (*entry.access.lock(), &entry.object);
        let notes = *segment.notes.lock();
        let ([uid, gid], [cuid, cgid], [cpid, lpid]) = (access.owner, access.creator, notes.pids);
        let [attached, detached, changed] = notes.times;
        write!(out, "{:10} {:10}  {:4o} {:21} ", access.key, entry.id, access.mode, segment.size)?;
        write!(out, "{cpid:5} {lpid:5}  {mappings:5} {uid:5} {gid:5} {cuid:5} {cgid:5} ")?;
        let resident = segment.resident() * crate::memory::PAGE_SIZE;
        writeln!(out, "{attached:10} {detached:10} {changed:10} {resident:21} {:21}", 0)?;
    }
    Ok(())
}

/// `sem`.
pub fn semaphores(out: &mut TextBuffer) -> Made {
    writeln!(out, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime")?;
    for entry in all(&SETS)? {
        let access = *entry.access.lock();
        let ([uid, gid], [cuid, cgid]) = (access.owner, access.creator);
        let [operated, changed] = entry.object.times();
        write!(out, "{:10} {:10}  {:4o} {:10} ", access.key, entry.id, access.mode, entry.object.len())?;
        writeln!(out, "{uid:5} {gid:5} {cuid:5} {cgid:5} {operated:10} {changed:10}")?;
    }
    Ok(())
}

/// `msg`.
pub fn messages(out: &mut TextBuffer) -> Made {
    write!(out, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid ")?;
    writeln!(out, "     stime      rtime      ctime")?;
    for entry in all(&QUEUES)? {
        let (access, notes) = (*entry.access.lock(), entry.object.notes());
        let ([uid, gid], [cuid, cgid], [sender, receiver]) = (access.owner, access.creator, notes.pids);
        let [sent, received, changed] = notes.times;
        write!(
            out,
            "{:10} {:10}  {:4o}  {:10} {:10} ",
            access.key, entry.id, access.mode, notes.bytes, notes.count
        )?;
        write!(out, "{sender:5} {receiver:5} {uid:5} {gid:5} {cuid:5} {cgid:5} ")?;
        writeln!(out, "{sent:10} {received:10} {changed:10}")?;
    }
    Ok(())
}
