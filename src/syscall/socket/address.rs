//! Addresses of sockets in a program's memory (`struct sockaddr`, unix(7)).

use alloc::sync::Arc;

use fs::{Access, FileType, LookupFlags};
use linux_raw_sys::net::AF_UNIX;
use net::unix::{Kind, NAME_MAX, Name, Socket};
use syscalls::Errno;

use crate::{
    file::{lookup, socket::DOMAIN},
    process::Caller,
    syscall::attempt::{Pause, copy_in, copy_out},
    user_memory,
};

/// The longest address of any family (`struct sockaddr_storage`).
const ADDRESS_MAX: usize = 128;
/// Where the name begins, behind the family.
const NAME_OFFSET: usize = 2;

/// An address as a program gives it.
pub struct Address {
    bytes: [u8; ADDRESS_MAX],
    len: usize,
}

/// What an address of this family names.
pub enum Place<'a> {
    /// A socket with an abstract name, with the NUL in front.
    Abstract(&'a [u8]),
    /// A node of the file system.
    Path(&'a [u8]),
}

impl Address {
    /// Copies an address in. EINVAL for a length that no address has.
    pub async fn read(caller: &Caller, address: usize, len: i32) -> Result<Self, Errno> {
        let len = usize::try_from(len).ok().filter(|len| *len <= ADDRESS_MAX).ok_or(Errno::EINVAL)?;
        let mut bytes = [0; ADDRESS_MAX];
        user_memory::copy_in(caller, address, &mut bytes[..len]).await?;
        Ok(Self { bytes, len })
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The family.
    fn family(&self) -> u32 {
        u16::from_ne_bytes([self.bytes[0], self.bytes[1]]).into()
    }

    /// Whether it is long enough to have a family, and that is none, which dissolves a connection. EINVAL if it is too
    /// short.
    pub fn is_unspecified(&self) -> Result<bool, Errno> {
        if self.len < NAME_OFFSET { Err(Errno::EINVAL) } else { Ok(self.family() == 0) }
    }

    /// Whether it asks for a name of the kernel's choice.
    pub fn asks_for_any(&self) -> bool {
        self.len == NAME_OFFSET && self.family() == AF_UNIX
    }

    /// What it names; EINVAL if it is none of this family.
    pub fn place(&self) -> Result<Place<'_>, Errno> {
        if self.len <= NAME_OFFSET || self.len > NAME_OFFSET + NAME_MAX || self.family() != AF_UNIX {
            return Err(Errno::EINVAL);
        }
        let name = &self.bytes[NAME_OFFSET..self.len];
        Ok(match name.iter().position(|byte| *byte == 0) {
            Some(0) => Place::Abstract(name),
            end => Place::Path(&name[..end.unwrap_or(name.len())]),
        })
    }
}

impl Place<'_> {
    /// The socket of a type that has this name. ECONNREFUSED if there is none, EPROTOTYPE if it is of another type.
    pub async fn find(&self, caller: &Caller, kind: Kind) -> Result<Arc<Socket>, Errno> {
        let path = match self {
            Self::Abstract(name) => return DOMAIN.find(kind, name).ok_or(Errno::ECONNREFUSED),
            Self::Path(path) => path,
        };
        let place = lookup::path(caller, lookup::CWD, path, LookupFlags::FOLLOW).await?;
        fs::check_at(&place, &caller.credentials.fs, Access::WRITE)?;
        let attributes = place.inode().attributes();
        if attributes.kind != FileType::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        let socket = attributes.attached::<Socket>().filter(|socket| socket.is_open());
        let socket = socket.ok_or(Errno::ECONNREFUSED)?;
        if socket.kind == kind { Ok(socket) } else { Err(Errno::EPROTOTYPE) }
    }
}

/// Tells an address: as much of it as there is room for, and how long it is. The word at `len_at` says how much room
/// there is; EINVAL if it is negative. It is written last, so that all may be attempted again.
pub fn tell(to: usize, len_at: usize, name: Option<&Name>) -> Result<(), Pause> {
    let room: i32 = copy_in(len_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let (bytes, len) = encode(name);
    copy_out(to, &bytes[..len.min(room)])?;
    copy_out(len_at, &(len as i32))
}

/// As [`tell`], waiting for missing pages.
pub async fn write(caller: &Caller, to: usize, len_at: usize, name: Option<&Name>) -> Result<(), Errno> {
    let room: i32 = user_memory::read(caller, len_at).await?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let (bytes, len) = encode(name);
    user_memory::copy_out(caller, to, &bytes[..len.min(room)]).await?;
    user_memory::write(caller, len_at, len as i32).await
}

/// The address of a socket with this name, or with none, and its length.
pub fn encode(name: Option<&Name>) -> ([u8; ADDRESS_MAX], usize) {
    let mut bytes = [0; ADDRESS_MAX];
    bytes[..NAME_OFFSET].copy_from_slice(&(AF_UNIX as u16).to_ne_bytes());
    let name = name.map_or(&[][..], Name::bytes);
    bytes[NAME_OFFSET..NAME_OFFSET + name.len()].copy_from_slice(name);
    (bytes, NAME_OFFSET + name.len())
}
