//! Attributes of files: stat(2), statx(2), access(2), chmod(2), chown(2), utimensat(2), statfs(2).

use fs::{
    Access, Attributes, Dentry, Direct, FileType, Inode, LookupFlags, Metadata, Mount, Path, SetTime, StatFs,
    Timestamp,
};
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::user_memory::{self, SysResult};
use crate::{
    device::disk,
    file::{File, Node, lookup},
    process::{
        Caller,
        capabilities::SecureBits,
        times::{TimeSpec, TimeVal},
    },
};

/// `struct stat` of x86_64.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Stat {
    dev: u64,
    ino: u64,
    nlink: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    pad: u32,
    rdev: u64,
    size: u64,
    block_size: u64,
    blocks: u64,
    accessed: TimeSpec,
    modified: TimeSpec,
    changed: TimeSpec,
    unused: [u64; 3],
}

fn time_spec(time: Timestamp) -> TimeSpec {
    TimeSpec { seconds: time.seconds, nanoseconds: i64::from(time.nanoseconds) }
}

impl From<&Attributes> for Stat {
    #[inline]
    fn from(attributes: &Attributes) -> Self {
        Self::from(&attributes.snapshot())
    }
}

impl From<&Metadata> for Stat {
    #[inline]
    fn from(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev.0,
            ino: metadata.ino,
            nlink: u64::from(metadata.links),
            mode: metadata.mode(),
            uid: metadata.uid,
            gid: metadata.gid,
            pad: 0,
            rdev: metadata.rdev.0,
            size: metadata.size,
            block_size: u64::from(metadata.block_size),
            blocks: metadata.blocks,
            accessed: time_spec(metadata.accessed),
            modified: time_spec(metadata.modified),
            changed: time_spec(metadata.changed),
            unused: [0; 3],
        }
    }
}

/// The attributes of an open file, whatever it is.
async fn of_file(file: &File) -> Result<Metadata, Errno> {
    match file.path() {
        Some(path) => path.metadata().await,
        None => Ok(file.node().ok_or(Errno::EBADF)?.attributes().snapshot()),
    }
}

/// The attributes of what a path, or with `AT_EMPTY_PATH` a descriptor, names.
#[inline]
async fn of_path(caller: &Caller, directory: i32, name: &[u8], flags: u32) -> Result<Metadata, Errno> {
    if lookup::is_descriptor(directory, name, flags) {
        return of_file(&*caller.files.get(directory)?).await;
    }
    let origin = lookup::Origin::new(caller, directory, name)?;
    origin.view(caller).metadata(name, lookup::follow(flags) | lookup::may_be_empty(flags)).await
}

pub async fn fstat(caller: &Caller, fd: i32, address: usize) -> SysResult {
    let metadata = of_file(&*caller.files.get(fd)?).await?;
    user_memory::write(caller, address, Stat::from(&metadata)).await?;
    Ok(0)
}

/// How fresh what a file system somewhere else knows has to be.
const SYNC: u32 = linux::AT_STATX_FORCE_SYNC | linux::AT_STATX_DONT_SYNC;
const STAT_FLAGS: u32 = linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH | linux::AT_NO_AUTOMOUNT | SYNC;

#[inline]
pub async fn newfstatat(
    caller: &Caller,
    directory: i32,
    path: usize,
    address: usize,
    flags: u32,
) -> SysResult {
    if flags & !STAT_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let metadata = {
        let name = user_memory::read_path(caller, path).await?;
        of_path(caller, directory, &name, flags).await?
    };
    user_memory::write(caller, address, Stat::from(&metadata)).await?;
    Ok(0)
}

/// `struct statx_timestamp`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    pad: i32,
}

impl From<Timestamp> for StatxTime {
    fn from(time: Timestamp) -> Self {
        Self { seconds: time.seconds, nanoseconds: time.nanoseconds, pad: 0 }
    }
}

/// `STATX_ATTR_MOUNT_ROOT`: the file is where its file system is mounted.
const MOUNT_ROOT: u64 = linux::STATX_ATTR_MOUNT_ROOT as u64;

/// `struct statx`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    pad: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    times: [StatxTime; 4],
    devices: [u32; 4],
    mount: u64,
    direct_memory: u32,
    direct_offset: u32,
    spare: [u64; 12],
}

/// Where a file is, for statx(2).
#[derive(Clone, Copy, Default)]
struct Place {
    /// What is told: the bits of it in the mask.
    mask: u32,
    mount: u64,
    /// [`MOUNT_ROOT`] if the file is that.
    attributes: u64,
    /// The unit of transfers past the page cache.
    direct: u32,
}

impl Place {
    #[inline(always)]
    fn of(mount: &Mount, dentry: &Dentry, mask: u32) -> Self {
        let attributes = if mount.root().same(dentry) { MOUNT_ROOT } else { 0 };
        let place = Self { mask: linux::STATX_MNT_ID, mount: mount.id(), attributes, direct: 0 };
        if mask & linux::STATX_DIOALIGN == 0 {
            return place;
        }
        match direct_alignment(&**dentry.inode()) {
            Some(direct) => Self { mask: linux::STATX_MNT_ID | linux::STATX_DIOALIGN, direct, ..place },
            None => place,
        }
    }
}

impl Statx {
    #[inline(always)]
    fn new(metadata: &Metadata, place: Place) -> Self {
        Self {
            mask: linux::STATX_BASIC_STATS | linux::STATX_BTIME | place.mask,
            block_size: metadata.block_size,
            attributes: place.attributes,
            links: metadata.links,
            uid: metadata.uid,
            gid: metadata.gid,
            mode: metadata.mode() as u16,
            pad: 0,
            ino: metadata.ino,
            size: metadata.size,
            blocks: metadata.blocks,
            attributes_mask: if place.mask & linux::STATX_MNT_ID != 0 { MOUNT_ROOT } else { 0 },
            times: [metadata.accessed, metadata.created, metadata.changed, metadata.modified]
                .map(StatxTime::from),
            devices: [
                metadata.rdev.major(),
                metadata.rdev.minor(),
                metadata.dev.major(),
                metadata.dev.minor(),
            ],
            mount: place.mount,
            direct_memory: place.direct,
            direct_offset: place.direct,
            spare: [0; 12],
        }
    }
}

pub async fn statx(
    caller: &Caller,
    directory: i32,
    path: usize,
    flags: u32,
    mask: u32,
    address: usize,
) -> SysResult {
    check_statx(flags, mask)?;
    let name = user_memory::read_path(caller, path).await?;
    statx_named(caller, directory, &name, flags, mask, address).await
}

/// EINVAL for flags and masks that statx(2) does not take.
fn check_statx(flags: u32, mask: u32) -> Result<(), Errno> {
    let strange = flags & !STAT_FLAGS != 0 || flags & SYNC == SYNC || mask & linux::STATX__RESERVED != 0;
    if strange { Err(Errno::EINVAL) } else { Ok(()) }
}

pub async fn statx_named(
    caller: &Caller,
    directory: i32,
    name: &[u8],
    flags: u32,
    mask: u32,
    address: usize,
) -> SysResult {
    check_statx(flags, mask)?;
    let (metadata, place) = of_path_and_place(caller, directory, name, flags, mask).await?;
    user_memory::write(caller, address, Statx::new(&metadata, place)).await?;
    Ok(0)
}

/// As [`of_path`], with where the file is.
#[inline]
async fn of_path_and_place(
    caller: &Caller,
    directory: i32,
    name: &[u8],
    flags: u32,
    mask: u32,
) -> Result<(Metadata, Place), Errno> {
    if lookup::is_descriptor(directory, name, flags) {
        let file = caller.files.get(directory)?;
        // A pipe or a socket lies nowhere.
        let place = file.path().map(|path| Place::of(path.mount(), path.dentry(), mask));
        return Ok((of_file(&file).await?, place.unwrap_or_default()));
    }
    let how = lookup::follow(flags) | lookup::may_be_empty(flags);
    let origin = lookup::Origin::new(caller, directory, name)?;
    let view = origin.view(caller);
    // A cached path is neither locked nor counted.
    let seen = view.inspect(name, how, |mount, dentry| {
        let current = dentry.inode().refresh().ready().ok()?;
        Some(current.map(|()| (dentry.attributes().snapshot(), Place::of(mount, dentry, mask))))
    });
    match seen {
        Some(Ok(Some(found))) => found,
        Some(Err(errno)) => Err(errno),
        _ => {
            let path = view.lookup(name, how).await?;
            Ok((path.metadata().await?, Place::of(path.mount(), path.dentry(), mask)))
        }
    }
}

/// The unit of transfers past the page cache in bytes, zero where they go through it all the same; `None` where they cannot be
/// asked for.
fn direct_alignment(inode: &dyn Inode) -> Option<u32> {
    let direct = match inode.attributes().kind {
        FileType::Block => disk::find(inode.attributes().rdev)?.inode().direct(),
        _ => inode.direct(),
    };
    match direct {
        Direct::Refused => None,
        Direct::Cached => Some(0),
        Direct::Unit(unit) => Some(unit),
    }
}

pub async fn faccessat(caller: &Caller, directory: i32, path: usize, mode: u32, flags: u32) -> SysResult {
    if mode & !7 != 0 || flags & !(linux::AT_EACCESS | linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0
    {
        return Err(Errno::EINVAL);
    }
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path_or_descriptor(caller, directory, &name, lookup::follow(flags), flags).await?;
    if mode == 0 {
        return Ok(0);
    }
    let mut credentials = caller.credentials.fs.clone();
    if flags & linux::AT_EACCESS == 0 {
        // The question is about the real ids.
        credentials.uid = caller.credentials.users[0];
        credentials.gid = caller.credentials.groups[0];
        let sets = &caller.credentials.sets;
        if !sets.secure.contains(SecureBits::NO_SETUID_FIXUP) {
            credentials.capabilities =
                if credentials.uid == 0 { sets.permitted } else { fs::Capabilities::empty() };
        }
    }
    fs::check_at(&place, &credentials, Access::from_bits_truncate(mode))?;
    Ok(0)
}

pub async fn fchmodat(caller: &Caller, directory: i32, path: usize, mode: u32, flags: u32) -> SysResult {
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path_or_descriptor(caller, directory, &name, lookup::follow(flags), flags).await?;
    fs::set_mode(&place, &caller.credentials.fs, mode).await?;
    Ok(0)
}

/// The place of an open file, for calls that change its attributes.
fn place_of(file: &File) -> Result<Path, Errno> {
    let nameless = || file.node().map(Node::place);
    file.path().cloned().or_else(nameless).ok_or(Errno::EPERM)
}

pub async fn fchmod(caller: &Caller, fd: i32, mode: u32) -> SysResult {
    let place = place_of(&*caller.files.get_open(fd)?)?;
    fs::set_mode(&place, &caller.credentials.fs, mode).await?;
    Ok(0)
}

fn owner(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

pub async fn fchownat(
    caller: &Caller,
    directory: i32,
    path: usize,
    uid: u32,
    gid: u32,
    flags: u32,
) -> SysResult {
    if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path_or_descriptor(caller, directory, &name, lookup::follow(flags), flags).await?;
    fs::set_owner(&place, &caller.credentials.fs, owner(uid), owner(gid)).await?;
    Ok(0)
}

pub async fn fchown(caller: &Caller, fd: i32, uid: u32, gid: u32) -> SysResult {
    let place = place_of(&*caller.files.get_open(fd)?)?;
    fs::set_owner(&place, &caller.credentials.fs, owner(uid), owner(gid)).await?;
    Ok(0)
}

/// A time of `utimensat`. It is looked at after the path.
fn set_time(time: TimeSpec) -> Result<SetTime, Errno> {
    match time.nanoseconds as u32 {
        linux::UTIME_NOW => Ok(SetTime::Now),
        linux::UTIME_OMIT => Ok(SetTime::Keep),
        nanoseconds if (0..1_000_000_000).contains(&time.nanoseconds) => {
            Ok(SetTime::To(Timestamp { seconds: time.seconds, nanoseconds }))
        }
        _ => Err(Errno::EINVAL),
    }
}

pub async fn utimensat(caller: &Caller, directory: i32, path: usize, times: usize, flags: u32) -> SysResult {
    if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let times: Option<[TimeSpec; 2]> = match times {
        0 => None,
        address => Some(user_memory::read(caller, address).await?),
    };
    let place = match path {
        // A null path names the descriptor's own file (utimensat(2), "C library/ kernel differences").
        0 if directory != lookup::CWD => place_of(&*caller.files.get_open(directory)?)?,
        path => {
            let name = user_memory::read_path(caller, path).await?;
            lookup::path_or_descriptor(caller, directory, &name, lookup::follow(flags), flags).await?
        }
    };
    let (accessed, modified) = match times {
        None => (SetTime::Now, SetTime::Now),
        Some([accessed, modified]) => (set_time(accessed)?, set_time(modified)?),
    };
    fs::set_times(&place, &caller.credentials.fs, accessed, modified).await?;
    Ok(0)
}

/// utimes and futimesat: microseconds.
pub async fn utimes(caller: &Caller, directory: i32, path: usize, times: usize) -> SysResult {
    let (accessed, modified) = match times {
        0 => (SetTime::Now, SetTime::Now),
        address => {
            let values: [TimeVal; 2] = user_memory::read(caller, address).await?;
            let [accessed, modified] = values.map(|time| {
                let valid = (0..1_000_000).contains(&time.microseconds);
                valid.then(|| Timestamp {
                    seconds: time.seconds,
                    nanoseconds: time.microseconds as u32 * 1000,
                })
            });
            (SetTime::To(accessed.ok_or(Errno::EINVAL)?), SetTime::To(modified.ok_or(Errno::EINVAL)?))
        }
    };
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path(caller, directory, &name, LookupFlags::FOLLOW).await?;
    fs::set_times(&place, &caller.credentials.fs, accessed, modified).await?;
    Ok(0)
}

/// utime: whole seconds.
pub async fn utime(caller: &Caller, path: usize, times: usize) -> SysResult {
    let (accessed, modified) = match times {
        0 => (SetTime::Now, SetTime::Now),
        address => {
            let [accessed, modified]: [i64; 2] = user_memory::read(caller, address).await?;
            let at = |seconds| SetTime::To(Timestamp { seconds, nanoseconds: 0 });
            (at(accessed), at(modified))
        }
    };
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path(caller, lookup::CWD, &name, LookupFlags::FOLLOW).await?;
    fs::set_times(&place, &caller.credentials.fs, accessed, modified).await?;
    Ok(0)
}

/// `struct statfs`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawStatFs {
    kind: u64,
    block_size: u64,
    blocks: u64,
    free: u64,
    available: u64,
    files: u64,
    free_files: u64,
    id: u64,
    name_max: u64,
    fragment_size: u64,
    flags: u64,
    spare: [u64; 4],
}

impl From<StatFs> for RawStatFs {
    fn from(stat: StatFs) -> Self {
        /// `ST_VALID`.
        const VALID: u64 = 0x20;
        Self {
            kind: stat.magic,
            block_size: stat.block_size,
            blocks: stat.blocks,
            free: stat.free_blocks,
            available: stat.available_blocks,
            files: stat.files,
            free_files: stat.free_files,
            id: stat.id,
            name_max: stat.name_max,
            fragment_size: stat.block_size,
            flags: VALID,
            spare: [0; 4],
        }
    }
}

async fn statfs_of(caller: &Caller, place: &Path, address: usize) -> SysResult {
    let stat = place.mount().superblock().file_system().statfs().await?;
    user_memory::write(caller, address, RawStatFs::from(stat)).await?;
    Ok(0)
}

pub async fn statfs(caller: &Caller, path: usize, address: usize) -> SysResult {
    let name = user_memory::read_path(caller, path).await?;
    let place = lookup::path(caller, lookup::CWD, &name, LookupFlags::FOLLOW).await?;
    statfs_of(caller, &place, address).await
}

pub async fn fstatfs(caller: &Caller, fd: i32, address: usize) -> SysResult {
    let file = caller.files.get(fd)?;
    if let Some(place) = file.path() {
        return statfs_of(caller, place, address).await;
    }
    let stat = file.node().ok_or(Errno::EBADF)?.statfs();
    user_memory::write(caller, address, RawStatFs::from(stat)).await?;
    Ok(0)
}
