//! From an archive to files.

use super::{
    gzip::Reader,
    header::{self, Header, padding},
};
use crate::{
    Credentials, Device, FileType, Kind, LookupFlags, PATH_MAX, Path, Position, SetTime, Timestamp, View,
    file, set_mode, set_owner, set_times,
};
use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;
use syscalls::Errno;

/// Why an archive could not be unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// A member does not begin with the magic of the newc format.
    BadMagic,
    /// A number in a header is not hexadecimal.
    BadNumber,
    /// A name is too long, empty or not ended.
    BadName,
    /// A file type that does not exist.
    BadType,
    /// The archive ends in the middle of a member.
    Truncated,
    /// The compressed data or their check sum are wrong.
    BadGzip,
    /// The file system refused.
    Refused(Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Error::BadMagic => "no cpio archive in the newc format",
            Error::BadNumber => "a damaged header",
            Error::BadName => "a damaged name",
            Error::BadType => "an unknown type of file",
            Error::Truncated => "the archive is cut off",
            Error::BadGzip => "damaged compressed data",
            Error::Refused(errno) => return write!(formatter, "the file system refused: {errno}"),
        })
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Error::Refused(errno)
    }
}

/// What was unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Members, directories included.
    pub members: usize,
    /// Bytes of file contents.
    pub bytes: u64,
}

/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// Bytes of contents moved before other tasks get a turn.
const CHUNK: usize = 32 * 1024;

/// Unpacks the archives in `input` into `directory`, as root. Names cannot lead out of the directory. Existing files are
/// replaced, existing directories kept; directories that are missing on the way to a name are made.
pub async fn unpack(directory: &Path, mut input: &[u8]) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let credentials = Credentials::root();
    let view = View { root: directory, start: directory, credentials: &credentials, umask: 0 };
    loop {
        // Archives are padded with zeros, between each other and at the end.
        let start = input.iter().position(|&byte| byte != 0).unwrap_or(input.len());
        input = &input[start..];
        if input.is_empty() {
            return Ok(summary);
        }
        let mut unpacker = Unpacker {
            view,
            reader: Reader::new(input)?,
            links: BTreeMap::new(),
            directories: Vec::new(),
            buffer: alloc::vec![0; CHUNK],
            summary,
        };
        unpacker.archive().await?;
        summary = unpacker.summary;
        input = unpacker.reader.into_rest()?;
    }
}

/// What tells the names of one file from others: inode and device numbers in the archive.
type Identity = (u32, u32, u32);

struct Unpacker<'v, 'a> {
    view: View<'v>,
    reader: Reader<'a>,
    /// Files with several names, by the first of them.
    links: BTreeMap<Identity, Path>,
    /// Directories get their times last, after what is put into them.
    directories: Vec<(Path, u32)>,
    buffer: Vec<u8>,
    summary: Summary,
}

impl Unpacker<'_, '_> {
    /// Unpacks up to the trailer, or to the end of the input. A compressed input may hold several archives.
    async fn archive(&mut self) -> Result<(), Error> {
        while let Some(header) = self.next_header()? {
            let name = self.name(&header)?;
            if name == TRAILER {
                self.links.clear();
                if self.reader.is_compressed() {
                    continue;
                }
                break;
            }
            self.member(&header, &name).await?;
            self.reader.skip(padding(header.size as usize))?;
            self.summary.members += 1;
            executor::yield_now().await;
        }
        for (path, seconds) in core::mem::take(&mut self.directories) {
            self.set_time(&path, seconds).await?;
        }
        Ok(())
    }

    /// The next header; `None` where the input ends between members. Zeros between archives are passed over.
    fn next_header(&mut self) -> Result<Option<Header>, Error> {
        let mut bytes = [0; header::LEN];
        loop {
            match self.reader.read(&mut bytes[..4])? {
                0 => return Ok(None),
                4 => (),
                _ => return Err(Error::Truncated),
            }
            if bytes[..4] != [0; 4] {
                break;
            }
        }
        self.reader.read_exact(&mut bytes[4..])?;
        Header::parse(&bytes).map(Some)
    }

    fn name(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let len = header.name_size as usize;
        if !(2..=PATH_MAX).contains(&len) {
            return Err(Error::BadName);
        }
        let mut name = alloc::vec![0; len];
        self.reader.read_exact(&mut name)?;
        self.reader.skip(padding(header::LEN + len))?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(Error::BadName);
        }
        Ok(name)
    }

    async fn member(&mut self, header: &Header, name: &[u8]) -> Result<(), Error> {
        let kind = FileType::from_mode(header.mode).ok_or(Error::BadType)?;
        let permissions = header.mode & 0o7777;
        let device = Device::new(header.rdev.0, header.rdev.1);
        let path = match kind {
            FileType::Directory => {
                self.reader.skip(header.size as usize)?;
                let path = match self.make(name, Kind::Directory, permissions).await {
                    Err(Error::Refused(Errno::EEXIST)) => {
                        self.view.lookup(name, LookupFlags::DIRECTORY).await?
                    }
                    made => made?,
                };
                self.directories.push((path.clone(), header.modified));
                path
            }
            FileType::Symlink => {
                if header.size as usize >= PATH_MAX {
                    return Err(Error::BadName);
                }
                let mut target = alloc::vec![0; header.size as usize];
                self.reader.read_exact(&mut target)?;
                if target.contains(&0) {
                    return Err(Error::BadName);
                }
                self.replace(name, Kind::Symlink(&target), 0o777).await?
            }
            FileType::Regular => self.regular(header, name, permissions).await?,
            FileType::Character => self.special(header, name, Kind::Character(device), permissions).await?,
            FileType::Block => self.special(header, name, Kind::Block(device), permissions).await?,
            FileType::Fifo => self.special(header, name, Kind::Fifo, permissions).await?,
            FileType::Socket => self.special(header, name, Kind::Socket, permissions).await?,
            FileType::Untyped => return Err(Error::BadType),
        };
        set_owner(&path, self.view.credentials, Some(header.uid), Some(header.gid)).await?;
        if kind != FileType::Symlink {
            // After the owner, whose change takes set-id bits away.
            set_mode(&path, self.view.credentials, permissions).await?;
        }
        self.set_time(&path, header.modified).await
    }

    async fn special(
        &mut self,
        header: &Header,
        name: &[u8],
        kind: Kind<'_>,
        permissions: u32,
    ) -> Result<Path, Error> {
        self.reader.skip(header.size as usize)?;
        self.replace(name, kind, permissions).await
    }

    /// A regular file. Of several names of one file, one (usually the last) comes with the contents.
    async fn regular(&mut self, header: &Header, name: &[u8], permissions: u32) -> Result<Path, Error> {
        let identity = (header.ino, header.device.0, header.device.1);
        let known = (header.links > 1).then(|| self.links.get(&identity)).flatten().cloned();
        let path = match known {
            Some(first) => {
                self.remove(name).await?;
                match self.view.link(&first, name).await {
                    Err(Errno::ENOENT) => {
                        self.make_parents(name).await?;
                        self.view.link(&first, name).await?;
                    }
                    linked => linked?,
                }
                first
            }
            None => {
                let path = self.replace(name, Kind::Regular, permissions).await?;
                if header.links > 1 {
                    self.links.insert(identity, path.clone());
                }
                path
            }
        };
        let mut left = header.size as usize;
        let mut offset = 0;
        while left > 0 {
            let part = left.min(CHUNK);
            self.reader.read_exact(&mut self.buffer[..part])?;
            let mut source = &self.buffer[..part];
            let written =
                file::write(&**path.inode(), self.view.credentials, Position::At(offset), &mut source)
                    .await?;
            if written.count < part {
                return Err(Error::Refused(Errno::ENOSPC));
            }
            offset += part as u64;
            left -= part;
            self.summary.bytes += part as u64;
            executor::yield_now().await;
        }
        Ok(path)
    }

    /// Makes a file in the place of an older one of the name.
    async fn replace(&mut self, name: &[u8], kind: Kind<'_>, permissions: u32) -> Result<Path, Error> {
        match self.make(name, kind, permissions).await {
            Err(Error::Refused(Errno::EEXIST)) => {
                self.remove(name).await?;
                self.make(name, kind, permissions).await
            }
            made => made,
        }
    }

    async fn make(&mut self, name: &[u8], kind: Kind<'_>, permissions: u32) -> Result<Path, Error> {
        match self.view.make(name, kind, permissions).await {
            Err(Errno::ENOENT) => {
                self.make_parents(name).await?;
                Ok(self.view.make(name, kind, permissions).await?)
            }
            made => Ok(made?),
        }
    }

    async fn remove(&self, name: &[u8]) -> Result<(), Error> {
        match self.view.unlink(name).await {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the directories that lead to a name.
    async fn make_parents(&self, name: &[u8]) -> Result<(), Error> {
        for (at, _) in name.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && at > 0) {
            match self.view.make(&name[..at], Kind::Directory, 0o755).await {
                Ok(_) | Err(Errno::EEXIST) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn set_time(&self, path: &Path, seconds: u32) -> Result<(), Error> {
        let time = SetTime::To(Timestamp { seconds: i64::from(seconds), nanoseconds: 0 });
        Ok(set_times(path, self.view.credentials, time, time).await?)
    }
}

const _: () = assert!(CHUNK.is_multiple_of(crate::PAGE_SIZE), "whole pages at a time");
