//! Extended attributes of files: getxattr(2), setxattr(2), listxattr(2), removexattr(2) and their kin.

use alloc::vec::Vec;

use fs::{LookupFlags, Path, XattrMode};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::user_memory::{self, SysResult};
use crate::{
    file::{File, lookup},
    process::Caller,
};

/// What an xattr call is about: a path, with or without following a last link, or a descriptor.
#[derive(Clone, Copy)]
pub enum Subject {
    /// `getxattr` and its kin.
    Path(usize),
    /// `lgetxattr` and its kin.
    Link(usize),
    /// `fgetxattr` and its kin.
    Descriptor(i32),
}

impl Subject {
    async fn place(self, caller: &Caller) -> Result<Path, Errno> {
        let (path, flags) = match self {
            Self::Descriptor(fd) => {
                return place_of(&*caller.files.get_open(fd)?).cloned();
            }
            Self::Path(path) => (path, LookupFlags::FOLLOW),
            Self::Link(path) => (path, LookupFlags::empty()),
        };
        let name = user_memory::read_path(caller, path).await?;
        lookup::path(caller, lookup::CWD, &name, flags).await
    }
}

/// Where an open file is; EOPNOTSUPP for a pipe, which has no such attributes.
pub fn place_of(file: &File) -> Result<&Path, Errno> {
    file.path().ok_or(Errno::EOPNOTSUPP)
}

/// The name of an attribute: ERANGE if it is empty or too long, EFAULT.
pub async fn attribute_name(caller: &Caller, name: usize) -> Result<Vec<u8>, Errno> {
    let name = user_memory::read_string(caller, name, 256).await;
    let name = name.map_err(|errno| if errno == Errno::E2BIG { Errno::ERANGE } else { errno })?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// Hands a value out as these calls do: its length alone for a size of 0, ERANGE if it does not fit.
async fn hand_out(caller: &Caller, bytes: &[u8], address: usize, size: usize) -> SysResult {
    if size != 0 {
        if bytes.len() > size {
            return Err(Errno::ERANGE);
        }
        user_memory::copy_out(caller, address, bytes).await?;
    }
    Ok(bytes.len())
}

pub async fn getxattr(
    caller: &Caller,
    subject: Subject,
    name: usize,
    value: usize,
    size: usize,
) -> SysResult {
    let name = attribute_name(caller, name).await?;
    let place = subject.place(caller).await?;
    get_attribute(caller, &place, &name, value, size).await
}

/// Hands out an attribute of a file.
pub async fn get_attribute(
    caller: &Caller,
    place: &Path,
    name: &[u8],
    value: usize,
    size: usize,
) -> SysResult {
    let bytes = fs::get_xattr(place, &caller.credentials.fs, name).await?;
    hand_out(caller, &bytes, value, size).await
}

pub async fn listxattr(caller: &Caller, subject: Subject, list: usize, size: usize) -> SysResult {
    let bytes = match subject.place(caller).await {
        Err(Errno::EOPNOTSUPP) => Vec::new(),
        place => fs::list_xattrs(&place?, &caller.credentials.fs).await?,
    };
    hand_out(caller, &bytes, list, size).await
}

pub async fn setxattr(
    caller: &Caller,
    subject: Subject,
    name: usize,
    value: usize,
    size: usize,
    flags: u32,
) -> SysResult {
    let change = AttributeChange::read(caller, name, value, size, flags).await?;
    let place = subject.place(caller).await?;
    change.make(caller, &place).await
}

/// An attribute that a file is to have.
pub struct AttributeChange {
    name: Vec<u8>,
    value: Vec<u8>,
    mode: XattrMode,
}

impl AttributeChange {
    /// Reads what setxattr(2) is given: EINVAL for strange flags, E2BIG for a value that is too long, ERANGE and EFAULT.
    pub async fn read(
        caller: &Caller,
        name: usize,
        value: usize,
        size: usize,
        flags: u32,
    ) -> Result<Self, Errno> {
        let mode = match flags {
            0 => XattrMode::Set,
            linux::XATTR_CREATE => XattrMode::Create,
            linux::XATTR_REPLACE => XattrMode::Replace,
            _ => return Err(Errno::EINVAL),
        };
        let name = attribute_name(caller, name).await?;
        if size > 65536 {
            return Err(Errno::E2BIG);
        }
        let value = user_memory::read_array::<u8>(caller, value, size).await?;
        Ok(Self { name, value, mode })
    }

    /// Makes it.
    pub async fn make(&self, caller: &Caller, place: &Path) -> SysResult {
        fs::set_xattr(place, &caller.credentials.fs, &self.name, &self.value, self.mode).await?;
        Ok(0)
    }
}

pub async fn removexattr(caller: &Caller, subject: Subject, name: usize) -> SysResult {
    let name = attribute_name(caller, name).await?;
    let place = subject.place(caller).await?;
    fs::remove_xattr(&place, &caller.credentials.fs, &name).await?;
    Ok(0)
}
