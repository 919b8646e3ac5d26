//! A tree in memory to test on.
#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod waiting;

use fs::memfs::{Limits, MemFs};
use fs::*;
use std::sync::{Arc, PoisonError, RwLock};
use syscalls::Errno;

pub const UNLIMITED: Limits = Limits { size: None, inodes: None };

/// A namespace whose root is an empty file system in memory.
pub struct Tree {
    pub namespace: Arc<Namespace>,
    pub root: Path,
    pub superuser: Credentials,
}

impl Tree {
    pub fn new(limits: Limits) -> Self {
        Self::on(MemFs::new(limits, 0o755))
    }

    /// A tree on another file system.
    pub fn on(file_system: Arc<dyn FileSystem>) -> Self {
        Self::with_flags(file_system, MountFlags::empty())
    }

    pub fn with_flags(file_system: Arc<dyn FileSystem>, flags: MountFlags) -> Self {
        let superblock = Superblock::new(file_system);
        let namespace = Namespace::new(superblock, "none", flags);
        Tree { root: namespace.root(), namespace, superuser: Credentials::root() }
    }

    pub fn view(&self) -> View<'_> {
        View { root: &self.root, start: &self.root, credentials: &self.superuser, umask: 0 }
    }

    pub fn view_as<'a>(&'a self, credentials: &'a Credentials) -> View<'a> {
        View { credentials, ..self.view() }
    }

    pub async fn find(&self, path: &str) -> Result<Path> {
        self.view().lookup(path.as_bytes(), LookupFlags::FOLLOW).await
    }

    pub async fn stat(&self, path: &str) -> Result<Metadata> {
        self.view().metadata(path.as_bytes(), LookupFlags::empty()).await
    }

    pub async fn mkdir(&self, path: &str) -> Result<Path> {
        self.view().make(path.as_bytes(), Kind::Directory, 0o755).await
    }

    pub async fn symlink(&self, target: &str, path: &str) -> Result<Path> {
        self.view().make(path.as_bytes(), Kind::Symlink(target.as_bytes()), 0o777).await
    }

    pub async fn open(&self, path: &str, flags: OpenFlags) -> Result<Path> {
        self.view().open(path.as_bytes(), flags, 0o644, LookupFlags::empty()).await.map(|opened| opened.path)
    }

    pub async fn write_file(&self, path: &str, contents: &[u8]) -> Result<Path> {
        let file = self.open(path, OpenFlags::CREATE | OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE).await?;
        let written = write(&file, Position::At(0), contents).await?;
        assert_eq!(written.count, contents.len());
        Ok(file)
    }

    pub async fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.open(path, OpenFlags::empty()).await?;
        read_all(&file).await
    }

    pub async fn unlink(&self, path: &str) -> Result<()> {
        self.view().unlink(path.as_bytes()).await
    }

    pub async fn rename(&self, old: &str, new: &str) -> Result<()> {
        self.rename_with(old, new, RenameFlags::empty()).await
    }

    pub async fn rename_with(&self, old: &str, new: &str, flags: RenameFlags) -> Result<()> {
        self.view().rename(old.as_bytes(), self.view(), new.as_bytes(), flags).await
    }

    pub async fn list(&self, path: &str) -> Result<Vec<String>> {
        let directory = self.find(path).await?;
        let mut names = Vec::new();
        read_dir(&directory, 0, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })
        .await?;
        names.sort();
        Ok(names)
    }
}

pub async fn write(file: &Path, position: Position, mut data: &[u8]) -> Result<Written> {
    file::write(&**file.inode(), &Credentials::root(), position, &mut data).await
}

/// Memory with these bytes in pages of its own: it begins at a multiple of 512 in the first. `ENOMEM` without pages.
pub fn memory(data: &[u8]) -> Result<(Vec<Page>, Memory)> {
    let (mut pages, mut memory) = (Vec::new(), Memory::new());
    let mut start = data.len() / 512 % 8 * 512;
    let mut rest = data;
    while !rest.is_empty() {
        let page = Page::zeroed().ok_or(Errno::ENOMEM)?;
        let (part, behind) = rest.split_at(rest.len().min(PAGE_SIZE - start));
        page.write(start, part);
        memory.push(block::Piece::new(page.clone(), start, part.len())).unwrap();
        pages.push(page);
        (start, rest) = (0, behind);
    }
    Ok((pages, memory))
}

/// Writes past the page cache.
pub async fn write_direct(file: &Path, position: Position, data: &[u8]) -> Result<Written> {
    file.inode().clone().write_direct(position, memory(data)?.1).await
}

/// Reads past the page cache.
pub async fn read_direct(file: &Path, offset: u64, len: usize) -> Result<Vec<u8>> {
    let (pages, memory) = memory(&vec![0xaa; len])?;
    let count = file.inode().clone().read_direct(offset, memory).await?;
    let mut bytes: Vec<u8> = pages.iter().flat_map(|page| *page.bytes()).skip(len / 512 % 8 * 512).collect();
    bytes.truncate(count);
    Ok(bytes)
}

pub async fn read_at(file: &Path, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0xaa; len];
    let count = file.inode().read_at(offset, &mut &mut buffer[..]).await?;
    buffer.truncate(count);
    Ok(buffer)
}

pub async fn read_all(file: &Path) -> Result<Vec<u8>> {
    // As for programs.
    file.note_access();
    let mut all = Vec::new();
    loop {
        let part = read_at(file, all.len() as u64, 4000).await?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend(part);
    }
}

/// Held by tests, alone by those that give back what the caches of the whole program have: a cache is looked at under RCU,
/// of which each executor has its own.
static CACHES: RwLock<()> = RwLock::new(());

/// Runs a test on an executor with one worker.
pub fn run<F: Future<Output = ()> + Send + 'static>(test: F) {
    run_on(1, test);
}

/// Runs a test on an executor with so many workers.
pub fn run_on<F: Future<Output = ()> + Send + 'static>(workers: usize, test: F) {
    let _others = CACHES.read().unwrap_or_else(PoisonError::into_inner);
    executor::host::block_on(workers, test);
}

/// Runs a test that shrinks caches, on an executor with so many workers.
pub fn run_alone<F: Future<Output = ()> + Send + 'static>(workers: usize, test: F) {
    let _alone = CACHES.write().unwrap_or_else(PoisonError::into_inner);
    executor::host::block_on(workers, test);
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at the calls")]
pub fn error<T>(result: Result<T>) -> Errno {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(error) => error,
    }
}
