//! The operations on a tree in memory.

use crate::common::{Tree, UNLIMITED, read_at, waiting::Waiting};
use crate::program::{Operation, Order, Outcome, SLOTS, Shown, Time, USERS, digest};
use executor::host::Runtime;
use fs::*;
use std::sync::LazyLock;
use syscalls::Errno;

struct Open {
    path: Path,
    flags: OpenFlags,
}

impl Open {
    fn is_handle(&self) -> bool {
        self.flags.contains(OpenFlags::PATH)
    }

    fn readable(&self) -> bool {
        !self.is_handle() && self.flags.bits() & libc::O_ACCMODE as u32 != libc::O_WRONLY as u32
    }
}

struct Machine {
    tree: Tree,
    slots: [Option<Open>; SLOTS],
    credentials: Credentials,
    order: Order,
}

/// Which file system the tree is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ground {
    Memory,
    /// The same, with a wait in each operation.
    Waiting,
}

/// Runs a program on an empty tree.
pub fn run(ground: Ground, program: &[Operation]) -> Vec<Outcome> {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new(1));
    let program = program.to_vec();
    RUNTIME.block_on(async move {
        let memory = memfs::MemFs::new(UNLIMITED, 0o755);
        let tree = match ground {
            Ground::Memory => Tree::on(memory),
            Ground::Waiting => Tree::on(Waiting::new(memory)),
        };
        let mut machine = Machine {
            tree,
            slots: [const { None }; SLOTS],
            credentials: Credentials::root(),
            order: Order::default(),
        };
        let mut outcomes = Vec::new();
        for operation in &program {
            let outcome = machine.step(operation).await;
            outcomes.push(outcome.unwrap_or_else(|error| error.name().unwrap_or("?").into()));
        }
        outcomes
    })
}

fn shown(stat: &Metadata) -> Shown {
    Shown {
        ino: stat.ino,
        mode: stat.mode(),
        links: stat.links.into(),
        uid: stat.uid,
        gid: stat.gid,
        size: stat.size as i64,
        blocks: stat.blocks as i64,
        rdev: stat.rdev.0,
    }
}

fn ok(_: ()) -> Outcome {
    "ok".into()
}

/// What a thread has after setfsuid: without the capabilities over files unless it is root.
fn credentials(user: usize) -> Credentials {
    let (uid, gid, groups) = USERS[user];
    let mut credentials = Credentials::user(uid, gid, groups);
    credentials.capabilities = Capabilities::all();
    if uid != 0 {
        credentials.capabilities -= Capabilities::CHOWN
            | Capabilities::DAC_OVERRIDE
            | Capabilities::DAC_READ_SEARCH
            | Capabilities::FOWNER
            | Capabilities::FSETID
            | Capabilities::MKNOD;
    }
    credentials
}

impl Machine {
    fn view(&self) -> View<'_> {
        self.tree.view_as(&self.credentials)
    }

    fn slot(&self, slot: usize) -> Result<&Open> {
        self.slots[slot].as_ref().ok_or(Errno::EBADF)
    }

    /// A file that can be written through its slot.
    fn writable(&self, slot: usize) -> Result<&Open> {
        self.slot(slot).and_then(|open| if open.flags.writes() { Ok(open) } else { Err(Errno::EBADF) })
    }

    async fn find(&self, path: &str, follow: bool) -> Result<Path> {
        let flags = if follow { LookupFlags::FOLLOW } else { LookupFlags::empty() };
        self.view().lookup(path.as_bytes(), flags).await
    }

    async fn step(&mut self, operation: &Operation) -> Result<Outcome> {
        match operation {
            Operation::Open { slot, path, flags, mode } => self.open(*slot, path, *flags, *mode).await,
            Operation::Close { slot } => self.slots[*slot].take().map(|_| ok(())).ok_or(Errno::EBADF),
            Operation::Read { slot, offset, len } => {
                let open = self.slot(*slot)?;
                if !open.readable() {
                    return Err(Errno::EBADF);
                }
                Ok(digest(&read_at(&open.path, *offset, *len).await?))
            }
            Operation::Write { slot, offset, len, byte } => {
                let open = self.writable(*slot)?;
                let buffer = vec![*byte; *len];
                let position = if open.flags.contains(OpenFlags::APPEND) {
                    Position::End
                } else {
                    Position::At(*offset)
                };
                let inode = open.path.inode();
                let written = file::write(&**inode, &self.credentials, position, &mut &buffer[..]).await?;
                Ok(written.count.to_string())
            }
            Operation::SetSize { slot, size } => {
                let open = self.slot(*slot)?;
                if open.is_handle() {
                    return Err(Errno::EBADF);
                }
                if !open.flags.writes() {
                    return Err(Errno::EINVAL);
                }
                file::truncate(&**open.path.inode(), &self.credentials, *size).await.map(ok)
            }
            Operation::Truncate { path, size } => {
                let path = self.find(path, true).await?;
                match path.dentry().kind() {
                    FileType::Directory => return Err(Errno::EISDIR),
                    FileType::Regular => check_at(&path, &self.credentials, Access::WRITE)?,
                    _ => return Err(Errno::EINVAL),
                }
                file::truncate(&**path.inode(), &self.credentials, *size).await.map(ok)
            }
            Operation::Fallocate { slot, mode, offset, len } => {
                let open = self.slot(*slot)?;
                if open.is_handle() {
                    return Err(Errno::EBADF);
                }
                let flags = FallocateFlags::from_bits_retain(*mode as u32);
                let (offset, len) = (*offset as u64, *len as u64);
                // The order of vfs_fallocate.
                if len == 0 {
                    return Err(Errno::EINVAL);
                }
                if !open.flags.writes() {
                    let valid = matches!(mode, 0 | 1 | 3 | 8 | 16 | 17 | 32 | 64 | 65);
                    return Err(if valid { Errno::EBADF } else { Errno::EOPNOTSUPP });
                }
                file::fallocate(&**open.path.inode(), &self.credentials, flags, offset, len).await.map(ok)
            }
            Operation::Seek { slot, hole, offset } => {
                let open = self.slot(*slot)?;
                if open.is_handle() {
                    return Err(Errno::EBADF);
                }
                if open.path.dentry().kind() != FileType::Regular {
                    return Err(Errno::EINVAL);
                }
                let what = if *hole { Seek::Hole } else { Seek::Data };
                Ok(open.path.inode().seek(*offset as u64, what).await?.to_string())
            }
            Operation::StatSlot { slot } => {
                let stat = self.slot(*slot)?.path.metadata().await?;
                Ok(self.order.show(&shown(&stat)))
            }
            Operation::LinkSlot { .. } if self.credentials.uid != 0 => Ok("skipped".into()),
            Operation::LinkSlot { slot, path } => {
                let open = self.slot(*slot)?;
                self.view().link(&open.path, path.as_bytes()).await.map(ok)
            }
            Operation::Mkdir { path, mode } => {
                // mkdir ignores the set-id bits.
                self.view().make(path.as_bytes(), Kind::Directory, mode & 0o1777).await.map(|_| ok(()))
            }
            Operation::Mknod { path, mode, device } => {
                let kind = match FileType::from_mode(*mode).ok_or(Errno::EINVAL)? {
                    FileType::Regular => Kind::Regular,
                    FileType::Fifo => Kind::Fifo,
                    FileType::Socket => Kind::Socket,
                    FileType::Character => Kind::Character(Device(*device)),
                    FileType::Block => Kind::Block(Device(*device)),
                    FileType::Directory => return Err(Errno::EPERM),
                    FileType::Symlink | FileType::Untyped => return Err(Errno::EINVAL),
                };
                self.view().make(path.as_bytes(), kind, mode & 0o7777).await.map(|_| ok(()))
            }
            Operation::Rmdir { path } => self.view().rmdir(path.as_bytes()).await.map(ok),
            Operation::Unlink { path } => self.view().unlink(path.as_bytes()).await.map(ok),
            Operation::Symlink { target, path } => {
                let kind = Kind::Symlink(target.as_bytes());
                self.view().make(path.as_bytes(), kind, 0o777).await.map(|_| ok(()))
            }
            Operation::Link { old, new, follow } => {
                let from = self.find(old, *follow).await?;
                self.view().link(&from, new.as_bytes()).await.map(ok)
            }
            Operation::Rename { old, new, flags } => {
                let flags = RenameFlags::from_bits_retain(*flags);
                self.view().rename(old.as_bytes(), self.view(), new.as_bytes(), flags).await.map(ok)
            }
            Operation::Stat { path, follow } => {
                let flags = if *follow { LookupFlags::FOLLOW } else { LookupFlags::empty() };
                let stat = self.view().metadata(path.as_bytes(), flags).await?;
                Ok(self.order.show(&shown(&stat)))
            }
            Operation::ReadLink { path } => {
                let target = self.view().read_link(path.as_bytes(), LookupFlags::empty()).await?;
                Ok(String::from_utf8_lossy(&target).into_owned())
            }
            Operation::List { path } => {
                let opened =
                    self.view().open(path.as_bytes(), OpenFlags::DIRECTORY, 0, LookupFlags::empty()).await?;
                let mut names = Vec::new();
                read_dir(&opened.path, 0, &mut |entry| {
                    if !matches!(entry.name, b"." | b"..") {
                        names.push(String::from_utf8_lossy(entry.name).into_owned());
                    }
                    true
                })
                .await?;
                names.sort();
                Ok(names.join(" "))
            }
            Operation::Access { path, mode } => {
                let path = self.find(path, true).await?;
                if *mode != 0 {
                    check_at(&path, &self.credentials, Access::from_bits_truncate(*mode))?;
                }
                Ok(ok(()))
            }
            Operation::Chmod { path, mode } => {
                let path = self.find(path, true).await?;
                set_mode(&path, &self.credentials, *mode).await.map(ok)
            }
            Operation::Chown { path, uid, gid, follow } => {
                let path = self.find(path, *follow).await?;
                set_owner(&path, &self.credentials, *uid, *gid).await.map(ok)
            }
            Operation::Times { path, accessed, modified } => self.times(path, *accessed, *modified).await,
            Operation::SetXattr { path, name, value, flags } => {
                let path = self.find(path, true).await?;
                let mode = [XattrMode::Set, XattrMode::Create, XattrMode::Replace][*flags as usize];
                set_xattr(&path, &self.credentials, name.as_bytes(), value.as_bytes(), mode).await.map(ok)
            }
            Operation::GetXattr { path, name } => {
                let path = self.find(path, true).await?;
                Ok(digest(&get_xattr(&path, &self.credentials, name.as_bytes()).await?))
            }
            Operation::RemoveXattr { path, name } => {
                let path = self.find(path, true).await?;
                remove_xattr(&path, &self.credentials, name.as_bytes()).await.map(ok)
            }
            Operation::ListXattrs { path } => {
                let path = self.find(path, true).await?;
                let all = list_xattrs(&path, &self.credentials).await?;
                let mut names: Vec<_> = all.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
                names.sort();
                Ok(names.join(" "))
            }
            Operation::Become { user } => {
                self.credentials = credentials(*user);
                Ok(ok(()))
            }
        }
    }

    async fn open(&mut self, slot: usize, path: &str, flags: i32, mode: u32) -> Result<Outcome> {
        let flags = OpenFlags::from_bits_retain(flags as u32);
        let opened = self.view().open(path.as_bytes(), flags, mode, LookupFlags::empty()).await?;
        if opened.path.dentry().kind().is_special() && !flags.contains(OpenFlags::PATH) {
            return Ok("special".into());
        }
        let stat = opened.path.metadata().await?;
        self.slots[slot] = Some(Open { path: opened.path, flags });
        Ok(self.order.show(&shown(&stat)))
    }

    async fn times(&self, path: &str, accessed: Time, modified: Time) -> Result<Outcome> {
        // Nothing to do is done before the path is looked at.
        if matches!((accessed, modified), (Time::Omit, Time::Omit)) {
            return self.find(path, true).await.map(|_| String::new());
        }
        let path = self.find(path, true).await?;
        let set = |time| match time {
            Time::Omit => SetTime::Keep,
            Time::Now => SetTime::Now,
            Time::At(seconds) => SetTime::To(Timestamp { seconds, nanoseconds: 7 }),
        };
        set_times(&path, &self.credentials, set(accessed), set(modified)).await?;
        let stat = path.metadata().await?;
        let mut shown = String::new();
        for (set, time) in [(accessed, stat.accessed), (modified, stat.modified)] {
            if let Time::At(_) = set {
                shown += &format!(" {}", time.seconds);
            }
        }
        Ok(shown)
    }
}
