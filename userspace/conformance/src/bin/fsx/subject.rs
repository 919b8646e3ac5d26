//! The file, and the calls that change it and look at it.

use crate::model::{Model, bytes_of};
use crate::operation::{How, Mode, Operation, Range, Sync};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use support::cvt;
use support::memory::{Anonymous, PAGE};

/// A shared mapping of a file.
struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    /// Maps so many bytes; there may be fewer in the file.
    fn new(file: &File, len: u64) -> io::Result<Self> {
        let len = (len as usize).next_multiple_of(PAGE).max(PAGE);
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }

    fn read(&self, at: u64, bytes: &mut [u8]) {
        assert!(at as usize + bytes.len() <= self.len);
        // SAFETY: within the mapping; who changes the file is this thread alone.
        unsafe { self.start.add(at as usize).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        assert!(at as usize + bytes.len() <= self.len);
        // SAFETY: as above.
        unsafe { self.start.add(at as usize).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    fn sync(&self) -> io::Result<()> {
        // SAFETY: the whole mapping.
        cvt(unsafe { libc::msync(self.start.cast(), self.len, libc::MS_SYNC) }).map(drop)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping.
        let result = cvt(unsafe { libc::munmap(self.start.cast(), self.len) });
        result.expect("munmap of a whole mapping");
    }
}

/// The file, open.
struct Opened {
    file: File,
    direct: Option<File>,
    mapping: Mapping,
}

/// The file under test.
pub struct Subject {
    path: PathBuf,
    largest: u64,
    direct: bool,
    opened: Option<Opened>,
    /// What `O_DIRECT` moves to and from.
    aligned: Anonymous,
}

/// Puts what was being done before an error.
fn doing<'a>(what: &'a str) -> impl Fn(io::Error) -> String + 'a {
    move |error| format!("{what}: {error}")
}

impl Subject {
    /// Makes the file.
    pub fn new(path: &Path, largest: u64, direct: bool) -> Result<Self, String> {
        File::create(path).map_err(doing("creating the file"))?;
        let aligned = Anonymous::map(largest as usize).map_err(doing("memory"))?;
        let mut subject = Self { path: path.to_owned(), largest, direct, opened: None, aligned };
        subject.reopen()?;
        Ok(subject)
    }

    fn open(&self) -> io::Result<Opened> {
        let open = |flags| OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path);
        let file = open(0)?;
        let direct = self.direct.then(|| open(libc::O_DIRECT)).transpose()?;
        let mapping = Mapping::new(&file, self.largest)?;
        Ok(Opened { file, direct, mapping })
    }

    /// Closes the file, if it is open, and opens it again.
    pub fn reopen(&mut self) -> Result<(), String> {
        self.opened = None;
        self.opened = Some(self.open().map_err(doing("opening the file"))?);
        Ok(())
    }

    fn opened(&self) -> &Opened {
        self.opened.as_ref().expect("it is closed only for a moment")
    }

    /// Does it to the file and to the model, and compares what is read.
    pub fn perform(&mut self, operation: Operation, number: u64, model: &mut Model) -> Result<(), String> {
        let file = &self.opened().file;
        match operation {
            Operation::Read(range, how) => {
                let bytes = self.read(range, how).map_err(doing("reading"))?;
                return same(&bytes, model.part(range), range.at);
            }
            Operation::Write(range, how) => {
                let bytes = bytes_of(number, range.len);
                self.write(range.at, &bytes, how).map_err(doing("writing"))?;
                model.write(range.at, &bytes);
            }
            Operation::Truncate(size) => {
                file.set_len(size).map_err(doing("truncating"))?;
                model.truncate(size);
            }
            Operation::Allocate(range, mode) => {
                model.allocate(range, mode);
                allocate(file, range, mode, model).map_err(doing("allocating"))?;
            }
            Operation::Copy(range, to) => {
                copy(file, range, to).map_err(doing("copying"))?;
                let bytes = model.part(range).to_vec();
                model.write(to, &bytes);
            }
            Operation::Sync(sync) => match sync {
                Sync::All => file.sync_all(),
                Sync::Data => file.sync_data(),
                Sync::Mapping => self.opened().mapping.sync(),
            }
            .map_err(doing("syncing"))?,
            Operation::Reopen => self.reopen()?,
            Operation::Evict => self.evict()?,
            Operation::Seek(at) => seek(file, at, model)?,
        }
        Ok(())
    }

    fn read(&mut self, range: Range, how: How) -> io::Result<Vec<u8>> {
        let opened = self.opened.as_ref().expect("as above");
        let mut bytes = vec![0xaa; range.len as usize];
        match how {
            How::Sequential => {
                let mut file = &opened.file;
                file.seek(SeekFrom::Start(range.at))?;
                let count = file.read(&mut bytes)?;
                bytes.truncate(count);
            }
            How::Positioned => {
                let count = opened.file.read_at(&mut bytes, range.at)?;
                bytes.truncate(count);
            }
            How::Mapped => opened.mapping.read(range.at, &mut bytes),
            How::NewlyMapped => Mapping::new(&opened.file, range.end())?.read(range.at, &mut bytes),
            How::Direct => {
                let aligned = &mut self.aligned.bytes()[..bytes.len()];
                let direct = opened.direct.as_ref().expect("asked for");
                let count = direct.read_at(aligned, range.at)?;
                bytes.truncate(count);
                bytes.copy_from_slice(&aligned[..count]);
            }
        }
        Ok(bytes)
    }

    fn write(&mut self, at: u64, bytes: &[u8], how: How) -> io::Result<()> {
        let opened = self.opened.as_ref().expect("as above");
        let count = match how {
            How::Sequential => {
                let mut file = &opened.file;
                file.seek(SeekFrom::Start(at))?;
                file.write(bytes)?
            }
            How::Positioned => opened.file.write_at(bytes, at)?,
            How::Mapped => {
                opened.mapping.write(at, bytes);
                bytes.len()
            }
            How::NewlyMapped => {
                Mapping::new(&opened.file, at + bytes.len() as u64)?.write(at, bytes);
                bytes.len()
            }
            How::Direct => {
                let aligned = &mut self.aligned.bytes()[..bytes.len()];
                aligned.copy_from_slice(bytes);
                opened.direct.as_ref().expect("asked for").write_at(aligned, at)?
            }
        };
        let whole = count == bytes.len();
        if whole { Ok(()) } else { Err(io::Error::other(format!("{count} of {} bytes", bytes.len()))) }
    }

    /// What is not dirty and not mapped is given up.
    fn evict(&mut self) -> Result<(), String> {
        let Opened { file, direct, mapping } = self.opened.take().expect("as above");
        drop(mapping);
        file.sync_data().map_err(doing("syncing"))?;
        // SAFETY: no memory is involved.
        let error = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        if error != 0 {
            return Err(format!("posix_fadvise: {}", io::Error::from_raw_os_error(error)));
        }
        let mapping = Mapping::new(&file, self.largest).map_err(doing("mapping"))?;
        self.opened = Some(Opened { file, direct, mapping });
        Ok(())
    }

    /// The file is as long as it must be.
    pub fn compare_size(&self, model: &Model) -> Result<(), String> {
        let size = self.opened().file.metadata().map_err(doing("fstat"))?.len();
        if size == model.size() {
            return Ok(());
        }
        Err(format!("the file has {size:#x} bytes and must have {:#x}", model.size()))
    }

    /// All of the file is as it must be.
    pub fn compare_all(&mut self, model: &Model, mapped: bool) -> Result<(), String> {
        self.compare_size(model)?;
        if !mapped {
            let range = Range { at: 0, len: self.largest + 1 };
            let bytes = self.read(range, How::Positioned).map_err(doing("reading it all"))?;
            return same(&bytes, model.contents(), 0);
        }
        // To the end of the last page, in which there is nothing behind the end of the file.
        let mut bytes = vec![0xaa; (model.size() as usize).next_multiple_of(PAGE)];
        self.opened().mapping.read(0, &mut bytes);
        let mut expected = model.contents().to_vec();
        expected.resize(bytes.len(), 0);
        same(&bytes, &expected, 0)
    }
}

/// fallocate(2), or what leaves the same contents, where the file system does not have it.
fn allocate(file: &File, range: Range, mode: Mode, after: &Model) -> io::Result<()> {
    let (at, len) = (range.at as i64, range.len as i64);
    // SAFETY: no memory is involved.
    match cvt(unsafe { libc::fallocate(file.as_raw_fd(), mode.flags(), at, len) }) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            file.set_len(after.size())?;
            let moves = matches!(mode, Mode::Collapse | Mode::Insert);
            let changed = if moves { Range { len: after.size(), ..range } } else { range };
            file.write_all_at(after.part(changed), range.at)
        }
        other => other.map(drop),
    }
}

/// copy_file_range(2), as often as needed.
fn copy(file: &File, from: Range, to: u64) -> io::Result<()> {
    let mut done = 0;
    while done < from.len {
        let (mut source, mut target) = ((from.at + done) as i64, (to + done) as i64);
        let left = (from.len - done) as usize;
        let fd = file.as_raw_fd();
        // SAFETY: the offsets outlive the call.
        let count = unsafe { libc::copy_file_range(fd, &raw mut source, fd, &raw mut target, left, 0) };
        let count = cvt(count)? as u64;
        if count == 0 {
            return Err(io::Error::other(format!("{done} of {} bytes", from.len)));
        }
        done += count;
    }
    Ok(())
}

/// lseek(2) for data or a hole; `None` if there is none.
fn find(file: &File, at: u64, whence: i32) -> Result<Option<u64>, String> {
    // SAFETY: no memory is involved.
    match cvt(unsafe { libc::lseek(file.as_raw_fd(), at as i64, whence) }) {
        Ok(found) => Ok(Some(found as u64)),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(format!("lseek: {error}")),
    }
}

/// From `at` on, data and holes take turns to the end of the file, and holes are zero.
fn seek(file: &File, mut at: u64, model: &Model) -> Result<(), String> {
    let size = model.size();
    if at >= size {
        let found = (find(file, at, libc::SEEK_DATA)?, find(file, at, libc::SEEK_HOLE)?);
        return if found == (None, None) {
            Ok(())
        } else {
            Err(format!("behind the end there is {found:?}"))
        };
    }
    while at < size {
        let data = find(file, at, libc::SEEK_DATA)?;
        let end_of_hole = data.unwrap_or(size);
        if end_of_hole < at || data.is_some_and(|data| data >= size) {
            return Err(format!("from {at:#x} on there is data at {data:#x?}; the size is {size:#x}"));
        }
        let hole = Range { at, len: end_of_hole - at };
        same(&vec![0; hole.len as usize], model.part(hole), at)
            .map_err(|text| format!("in a hole: {text}"))?;
        let Some(data) = data else { return Ok(()) };
        let hole = find(file, data, libc::SEEK_HOLE)?;
        match hole {
            Some(hole) if hole > data && hole <= size => at = hole,
            _ => return Err(format!("from {data:#x} on, where data is, there is a hole at {hole:#x?}")),
        }
    }
    Ok(())
}

/// Compares bytes of the file, from `at` on, with what they must be.
fn same(bytes: &[u8], expected: &[u8], at: u64) -> Result<(), String> {
    if bytes == expected {
        return Ok(());
    }
    if bytes.len() != expected.len() {
        let (found, wanted) = (bytes.len(), expected.len());
        return Err(format!("from {at:#x} on there are {found:#x} bytes and must be {wanted:#x}"));
    }
    let wrong = |(index, _): &(usize, &u8)| bytes[*index] != expected[*index];
    let mut all = bytes.iter().enumerate().filter(wrong).map(|(index, _)| index);
    let first = all.next().unwrap_or(0);
    let (count, last) = all.fold((1, first), |(count, _), index| (count + 1, index));
    Err(format!(
        "byte {:#x} is {:#04x} and must be {:#04x}; up to {:#x}, {count} bytes are wrong",
        at + first as u64,
        bytes[first],
        expected[first],
        at + last as u64
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of 100 KiB, and its model.
    fn subject(name: &str) -> (Subject, Model) {
        let path = std::env::temp_dir().join(format!("rusk-fsx-{}-{name}", std::process::id()));
        let (mut subject, mut model) = (Subject::new(&path, 1 << 18, false).unwrap(), Model::new());
        let all = Range { at: 0, len: 100 << 10 };
        subject.perform(Operation::Write(all, How::Positioned), 1, &mut model).unwrap();
        (subject, model)
    }

    /// Whatever somebody else does to the file is noticed, and told where it is.
    #[test]
    fn wrong_contents_are_noticed() {
        let (mut subject, model) = subject("contents");
        for mapped in [false, true] {
            subject.compare_all(&model, mapped).unwrap();
        }
        let byte = model.contents()[70_000];
        let other = File::options().write(true).open(&subject.path).unwrap();
        other.write_all_at(&[!byte], 70_000).unwrap();
        let wrong = format!("byte 0x11170 is {:#04x} and must be {byte:#04x}; up to 0x11170, 1 bytes", !byte);
        for mapped in [false, true] {
            let problem = subject.compare_all(&model, mapped).unwrap_err();
            assert!(problem.contains(&wrong), "{problem}");
        }
        other.write_all_at(&[byte], 70_000).unwrap();
        other.set_len((100 << 10) + 1).unwrap();
        assert!(subject.compare_size(&model).unwrap_err().contains("0x19001 bytes and must have 0x19000"));
        std::fs::remove_file(&subject.path).unwrap();
    }

    /// What is written behind the end through a mapping is no part of the file, and an error here.
    #[test]
    fn bytes_behind_the_end_are_noticed() {
        let (mut subject, mut model) = subject("end");
        subject.perform(Operation::Truncate(5000), 2, &mut model).unwrap();
        subject.compare_all(&model, true).unwrap();
        subject.opened().mapping.write(6000, b"x");
        assert!(
            subject.compare_all(&model, true).unwrap_err().contains("byte 0x1770 is 0x78 and must be 0x00")
        );
        std::fs::remove_file(&subject.path).unwrap();
    }

    #[test]
    fn holes_with_contents_are_noticed() {
        let (mut subject, mut model) = subject("holes");
        subject.perform(Operation::Truncate(0), 2, &mut model).unwrap();
        subject.perform(Operation::Truncate(1 << 18), 3, &mut model).unwrap();
        subject.perform(Operation::Seek(0), 4, &mut model).unwrap();
        model.write(100_000, b"x");
        let problem = subject.perform(Operation::Seek(0), 5, &mut model).unwrap_err();
        assert!(problem.starts_with("in a hole: byte 0x186a0 is 0x00 and must be 0x78"), "{problem}");
        std::fs::remove_file(&subject.path).unwrap();
    }
}
