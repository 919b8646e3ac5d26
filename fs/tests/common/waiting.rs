//! A file system that makes every operation wait, as a disk may: what a tree in memory answers at once comes some
//! polls later here.

use fs::*;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// The file system; wraps one in memory.
pub struct Waiting {
    inner: Arc<dyn FileSystem>,
    wraps: Arc<Wraps>,
}

/// The wrapped inodes that live, by number: one file is one inode, whatever its names.
#[derive(Default)]
struct Wraps(Mutex<HashMap<u64, Weak<Wrapped>>>);

impl Wraps {
    fn wrap(self: &Arc<Self>, inner: Arc<dyn Inode>) -> Arc<dyn Inode> {
        let mut live = self.0.lock().unwrap();
        let number = inner.attributes().ino;
        if let Some(known) = live.get(&number).and_then(Weak::upgrade) {
            return known;
        }
        let wrapped = Arc::new(Wrapped { inner, wraps: self.clone() });
        live.insert(number, Arc::downgrade(&wrapped));
        live.retain(|_, inode| inode.strong_count() > 0);
        wrapped
    }
}

struct Wrapped {
    inner: Arc<dyn Inode>,
    wraps: Arc<Wraps>,
}

fn unwrap(inode: &Arc<dyn Inode>) -> Arc<dyn Inode> {
    inode.as_any().downcast_ref::<Wrapped>().expect("an inode of this file system").inner.clone()
}

/// Some time, as a disk takes it.
async fn wait() {
    for _ in 0..2 {
        executor::yield_now().await;
    }
}

impl Waiting {
    pub fn new(inner: Arc<dyn FileSystem>) -> Arc<Self> {
        Arc::new(Waiting { inner, wraps: Arc::default() })
    }
}

impl FileSystem for Waiting {
    fn name(&self) -> &'static str {
        "waiting"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.wraps.wrap(self.inner.root())
    }

    fn statfs(&self) -> Op<'_, Result<StatFs>> {
        Op::waiting(async move {
            wait().await;
            self.inner.statfs().await
        })
    }
}

/// Waits, then does the same to the inner inode.
macro_rules! later {
    ($self:ident, $operation:ident ( $($argument:expr),* )) => {
        Op::waiting(async move {
            wait().await;
            $self.inner.$operation($($argument),*).await
        })
    };
}

impl Inode for Wrapped {
    fn attributes(&self) -> &Attributes {
        self.inner.attributes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn refresh(&self) -> Op<'_, Result<()>> {
        later!(self, refresh())
    }

    fn set_attributes(&self, change: SetAttributes) -> Op<'_, Result<()>> {
        later!(self, set_attributes(change))
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        later!(self, read_at(offset, sink))
    }

    fn write_at<'a>(&'a self, position: Position, source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        later!(self, write_at(position, source))
    }

    fn truncate(&self, size: u64) -> Op<'_, Result<()>> {
        later!(self, truncate(size))
    }

    fn fallocate(&self, flags: FallocateFlags, offset: u64, len: u64) -> Op<'_, Result<()>> {
        later!(self, fallocate(flags, offset, len))
    }

    fn page(&self, index: u64, write: bool) -> Op<'_, Result<Page>> {
        later!(self, page(index, write))
    }

    fn seek(&self, offset: u64, what: Seek) -> Op<'_, Result<u64>> {
        later!(self, seek(offset, what))
    }

    // The target is not in memory: walks have to wait for it.
    fn read_link(&self) -> Op<'_, Result<Vec<u8>>> {
        later!(self, read_link())
    }

    fn lookup<'a>(&'a self, name: &'a [u8]) -> Op<'a, Result<Arc<dyn Inode>>> {
        Op::waiting(async move {
            wait().await;
            let found = self.inner.lookup(name).await;
            wait().await;
            found.map(|inode| self.wraps.wrap(inode))
        })
    }

    fn create(&self, name: &[u8], new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        let (inner, wraps, name) = (self.inner.clone(), self.wraps.clone(), name.to_vec());
        let target = if let Kind::Symlink(target) = new.kind { target.to_vec() } else { Vec::new() };
        let fixed = NewInode { kind: Kind::Regular, ..new };
        let kind = new.kind.file_type();
        let device = new.kind.device();
        Op::waiting(async move {
            wait().await;
            let kind = match kind {
                FileType::Regular => Kind::Regular,
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Symlink(&target),
                FileType::Character => Kind::Character(device),
                FileType::Block => Kind::Block(device),
                FileType::Fifo => Kind::Fifo,
                FileType::Socket => Kind::Socket,
                FileType::Untyped => unreachable!("nothing is made without a type"),
            };
            let NewInode { permissions, umask, uid, gid, .. } = fixed;
            let made = inner.create(&name, NewInode { kind, permissions, umask, uid, gid }).await;
            wait().await;
            made.map(|inode| wraps.wrap(inode))
        })
    }

    fn create_unnamed(&self, new: NewInode<'_>) -> Op<'static, Result<Arc<dyn Inode>>> {
        let (inner, wraps) = (self.inner.clone(), self.wraps.clone());
        let NewInode { permissions, umask, uid, gid, .. } = new;
        Op::waiting(async move {
            wait().await;
            let new = NewInode { kind: Kind::Regular, permissions, umask, uid, gid };
            inner.create_unnamed(new).await.map(|inode| wraps.wrap(inode))
        })
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        let (inner, name, target) = (self.inner.clone(), name.to_vec(), unwrap(target));
        Op::waiting(async move {
            wait().await;
            let done = inner.link(&name, &target).await;
            wait().await;
            done
        })
    }

    fn unlink(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        let (inner, name, victim) = (self.inner.clone(), name.to_vec(), unwrap(victim));
        Op::waiting(async move {
            wait().await;
            let done = inner.unlink(&name, &victim).await;
            wait().await;
            done
        })
    }

    fn rmdir(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Op<'static, Result<()>> {
        let (inner, name, victim) = (self.inner.clone(), name.to_vec(), unwrap(victim));
        Op::waiting(async move {
            wait().await;
            let done = inner.rmdir(&name, &victim).await;
            wait().await;
            done
        })
    }

    fn rename(&self, renaming: Renaming<'_>) -> Op<'static, Result<()>> {
        let inner = self.inner.clone();
        let (old_name, new_name) = (renaming.old_name.to_vec(), renaming.new_name.to_vec());
        let (moved, new_directory) = (unwrap(renaming.moved), unwrap(renaming.new_directory));
        let (replaced, exchange) = (renaming.replaced.map(unwrap), renaming.exchange);
        Op::waiting(async move {
            wait().await;
            let done = inner
                .rename(Renaming {
                    old_name: &old_name,
                    moved: &moved,
                    new_directory: &new_directory,
                    new_name: &new_name,
                    replaced: replaced.as_ref(),
                    exchange,
                })
                .await;
            wait().await;
            done
        })
    }

    fn read_dir<'a>(&'a self, cookie: u64, emit: &'a mut Emit<'_>) -> Op<'a, Result<()>> {
        later!(self, read_dir(cookie, emit))
    }

    fn xattr(&self, name: &[u8]) -> Op<'_, Result<Vec<u8>>> {
        let name = name.to_vec();
        later!(self, xattr(&name))
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Op<'_, Result<()>> {
        let (name, value) = (name.to_vec(), value.to_vec());
        later!(self, set_xattr(&name, &value, mode))
    }

    fn remove_xattr(&self, name: &[u8]) -> Op<'_, Result<()>> {
        let name = name.to_vec();
        later!(self, remove_xattr(&name))
    }

    fn list_xattrs(&self) -> Op<'_, Result<Vec<u8>>> {
        later!(self, list_xattrs())
    }
}
