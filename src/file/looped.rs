//! Requests to loop devices, and to the device that adds and removes them (`<linux/loop.h>`).

use alloc::sync::Arc;

use fs::Capabilities;
use linux_raw_sys::loop_device as requests;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{File, Object, Stream};
use crate::{
    device::loops::{self, Backing, Binding, Flags, Loop, Settings, check_block_size},
    process::Caller,
    user_memory::{self, SysResult},
};

/// `struct loop_info64`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    represented: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encryption: u32,
    key_size: u32,
    flags: u32,
    name: [u8; 64],
    encryption_name: [u8; 64],
    key: [u8; KEY_SIZE],
    words: [u64; 2],
}

/// `struct loop_info`, of before there were large files.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct OldInfo {
    number: i32,
    _padding: u32,
    device: u64,
    inode: u64,
    represented: u64,
    offset: i32,
    encryption: i32,
    key_size: i32,
    flags: i32,
    name: [u8; 64],
    key: [u8; KEY_SIZE],
    words: [u64; 2],
    _reserved: [u8; 8],
}

/// `struct loop_config`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    _reserved: [u64; 8],
}

const KEY_SIZE: usize = requests::LO_KEY_SIZE as usize;
const NONE: Info = Info {
    device: 0,
    inode: 0,
    represented: 0,
    offset: 0,
    size_limit: 0,
    number: 0,
    encryption: 0,
    key_size: 0,
    flags: 0,
    name: [0; 64],
    encryption_name: [0; 64],
    key: [0; KEY_SIZE],
    words: [0; 2],
};

impl Info {
    /// What it asks for. EINVAL for encryption, EOVERFLOW for what no file has.
    fn settings(&self, block_size: u32) -> Result<Settings, Errno> {
        if self.key_size > requests::LO_KEY_SIZE || self.encryption != requests::LO_CRYPT_NONE {
            return Err(Errno::EINVAL);
        }
        if self.offset > i64::MAX as u64 || self.size_limit > i64::MAX as u64 {
            return Err(Errno::EOVERFLOW);
        }
        let mut name = self.name;
        name[name.len() - 1] = 0;
        let flags = Flags::from_bits_truncate(self.flags);
        Ok(Settings { offset: self.offset, size_limit: self.size_limit, name, flags, block_size })
    }

    fn of(looped: &Loop, binding: &Binding) -> Self {
        let settings = binding.settings();
        let file = binding.backing().path.inode().attributes();
        Info {
            device: file.dev.0,
            inode: file.ino,
            represented: file.rdev.0,
            offset: settings.offset,
            size_limit: settings.size_limit,
            number: looped.index(),
            flags: settings.flags.bits(),
            name: settings.name,
            ..NONE
        }
    }
}

impl From<OldInfo> for Info {
    fn from(old: OldInfo) -> Self {
        let (offset, flags) = (i64::from(old.offset) as u64, old.flags as u32);
        Info { number: old.number as u32, offset, flags, name: old.name, ..NONE }
    }
}

impl TryFrom<Info> for OldInfo {
    type Error = Errno;

    /// EOVERFLOW for an offset that has no room in it.
    fn try_from(info: Info) -> Result<Self, Errno> {
        Ok(OldInfo {
            number: info.number as i32,
            _padding: 0,
            device: info.device,
            inode: info.inode,
            represented: info.represented,
            offset: i32::try_from(info.offset).map_err(|_| Errno::EOVERFLOW)?,
            encryption: 0,
            key_size: 0,
            flags: info.flags as i32,
            name: info.name,
            key: info.key,
            words: info.words,
            _reserved: [0; 8],
        })
    }
}

/// A request to a loop device, made through `file`. EINVAL for one that there is not.
pub async fn ioctl(
    caller: &Caller,
    file: &File,
    looped: &Arc<Loop>,
    request: u32,
    argument: usize,
) -> SysResult {
    let check_right = || {
        let has_right = file.check_writable().is_ok() || caller.credentials.has(Capabilities::SYS_ADMIN);
        if has_right { Ok(()) } else { Err(Errno::EPERM) }
    };
    match request {
        requests::LOOP_SET_FD => configure(caller, file, looped, argument as u32, 0, NONE).await?,
        requests::LOOP_CONFIGURE => {
            let Config { fd, block_size, info, .. } = user_memory::read(caller, argument).await?;
            configure(caller, file, looped, fd, block_size, info).await?;
        }
        requests::LOOP_CHANGE_FD => {
            let (backing, _) = backing(caller, argument as u32)?;
            looped.change_file(backing).await?;
        }
        requests::LOOP_CLR_FD => looped.clear().await?,
        requests::LOOP_SET_STATUS => {
            check_right()?;
            let old: OldInfo = user_memory::read(caller, argument).await?;
            let info = Info::from(old);
            looped.set_settings(move |now| info.settings(now.block_size)).await?;
        }
        requests::LOOP_SET_STATUS64 => {
            check_right()?;
            let info: Info = user_memory::read(caller, argument).await?;
            looped.set_settings(move |now| info.settings(now.block_size)).await?;
        }
        requests::LOOP_GET_STATUS | requests::LOOP_GET_STATUS64 => {
            if argument == 0 {
                return Err(Errno::EINVAL);
            }
            let info = Info::of(looped, &*looped.binding().ok_or(Errno::ENXIO)?);
            if request == requests::LOOP_GET_STATUS64 {
                user_memory::write(caller, argument, info).await?;
            } else {
                user_memory::write(caller, argument, OldInfo::try_from(info)?).await?;
            }
        }
        requests::LOOP_SET_CAPACITY => {
            check_right()?;
            looped.set_capacity().await?;
        }
        requests::LOOP_SET_DIRECT_IO => {
            check_right()?;
            looped.binding().ok_or(Errno::ENXIO)?;
            // There is no way past a file's pages.
            if argument != 0 {
                return Err(Errno::EINVAL);
            }
        }
        requests::LOOP_SET_BLOCK_SIZE => {
            check_right()?;
            looped.binding().ok_or(Errno::ENXIO)?;
            looped.set_block_size(check_block_size(argument as u64)?).await?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// What a descriptor can give a device, and whether it is open for writing.
fn backing(caller: &Caller, fd: u32) -> Result<(Backing, bool), Errno> {
    let file = caller.files.get_open(fd as i32)?;
    let is_writable = file.check_writable().is_ok();
    let Object::Inode(path, contents) = file.object() else { return Err(Errno::EINVAL) };
    let contents = contents.as_ref().unwrap_or(path.inode()).clone();
    Ok((Backing::new(contents, path.clone(), file.clone()), is_writable))
}

async fn configure(
    caller: &Caller,
    file: &File,
    looped: &Arc<Loop>,
    fd: u32,
    block_size: u32,
    info: Info,
) -> Result<(), Errno> {
    let (backing, is_writable) = backing(caller, fd)?;
    let is_read_only = !is_writable || file.check_writable().is_err();
    let settings = move || {
        if info.flags & !Flags::SETTABLE.bits() != 0 {
            return Err(Errno::EINVAL);
        }
        let block_size = match block_size {
            0 => fs::block::SECTOR as u32,
            bytes => check_block_size(bytes.into())?,
        };
        let mut settings = info.settings(block_size)?;
        if is_read_only {
            settings.flags |= Flags::READ_ONLY;
        }
        Ok(settings)
    };
    looped.configure(backing, settings).await
}

/// The device that adds and removes loop devices.
pub struct Control;

impl Stream for Control {}

/// A request to it. ENOSYS for one that there is not, as on Linux.
pub async fn control(request: u32, argument: usize) -> SysResult {
    let index = u32::try_from(argument as i32).ok();
    match request {
        requests::LOOP_CTL_ADD => Ok(loops::add(index).await? as usize),
        requests::LOOP_CTL_REMOVE => loops::remove(index.ok_or(Errno::EINVAL)?).await.map(|()| 0),
        requests::LOOP_CTL_GET_FREE => Ok(loops::free_one().await? as usize),
        _ => Err(Errno::ENOSYS),
    }
}
