//! Control messages: open files and credentials beside a message's bytes (cmsg(3), unix(7)).

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::any::Any;

use fs::Capabilities;
use linux_raw_sys::{
    general::RLIMIT_NOFILE,
    net::{SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET},
};
use net::unix::{Cargo, Credentials, Delivery, Passenger, RIGHTS_MAX, Rights};
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    file::{File, uring},
    process::{Caller, credentials::capability, tree},
    syscall::descriptor,
    user_memory,
};

/// `struct cmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    /// With this header.
    len: u64,
    level: i32,
    kind: i32,
}

const HEADER: usize = size_of::<Header>();

/// `struct ucred`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct UserCredentials {
    pid: u32,
    uid: u32,
    gid: u32,
}

/// The most control data that one call sends (`net.core.optmem_max`).
const CONTROL_MAX: usize = 20_480;

/// Reads the control messages at `address` into `cargo`: EINVAL for what is none, EBADF for a descriptor that is not
/// open, EPERM for credentials that the caller may not claim.
pub async fn read(caller: &Caller, address: usize, len: usize, cargo: &mut Cargo) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    if len > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let bytes: Vec<u8> = user_memory::read_array(caller, address, len).await?;
    let mut files = Vec::new();
    let mut rest = &bytes[..];
    while let Ok((header, _)) = Header::read_from_prefix(rest) {
        let len = usize::try_from(header.len).map_err(|_| Errno::EINVAL)?;
        let data = rest.get(HEADER..len).ok_or(Errno::EINVAL)?;
        if header.level as u32 == SOL_SOCKET {
            match header.kind as u32 {
                SCM_RIGHTS => take_files(caller, data, &mut files)?,
                SCM_CREDENTIALS => {
                    let claimed = UserCredentials::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
                    cargo.credentials = Some(checked(caller, claimed)?);
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        rest = rest.get(len.next_multiple_of(size_of::<u64>())..).unwrap_or_default();
    }
    if !files.is_empty() {
        cargo.rights = Some(rights(caller, files));
    }
    Ok(())
}

fn take_files(caller: &Caller, data: &[u8], files: &mut Vec<Arc<dyn Passenger>>) -> Result<(), Errno> {
    let descriptors = data.chunks_exact(size_of::<i32>());
    if files.len() + descriptors.len() > RIGHTS_MAX {
        return Err(Errno::EINVAL);
    }
    files.try_reserve(descriptors.len()).map_err(|_| Errno::ENOMEM)?;
    for fd in descriptors {
        let fd = i32::from_ne_bytes([fd[0], fd[1], fd[2], fd[3]]);
        let file = caller.files.get(fd)?;
        if uring::of(&file).is_some() {
            // With sockets among its registered files, it could be a circle that nobody finds.
            return Err(Errno::EINVAL);
        }
        files.push(file);
    }
    Ok(())
}

/// Files that count for the caller's user, who may have as many in flight as the caller may have open.
fn rights(caller: &Caller, files: Vec<Arc<dyn Passenger>>) -> Box<Rights> {
    let unlimited =
        caller.credentials.has(capability::SYS_RESOURCE) || caller.credentials.has(Capabilities::SYS_ADMIN);
    let limit = if unlimited { u64::MAX } else { caller.process().limits.soft(RLIMIT_NOFILE) };
    Rights::new(files, caller.credentials.uid(), limit)
}

/// Credentials that a program names as its own. EPERM if it may not, ESRCH for a process that there is not.
fn checked(caller: &Caller, claimed: UserCredentials) -> Result<Credentials, Errno> {
    let own = &caller.credentials;
    let process = claimed.pid == caller.process().pid || own.has(Capabilities::SYS_ADMIN);
    let user = own.users.contains(&claimed.uid) || own.may_set_uids();
    let group = own.groups.contains(&claimed.gid) || own.may_set_gids();
    if !(process && user && group) {
        return Err(Errno::EPERM);
    }
    if claimed.pid != caller.process().pid && tree::lock().thread(claimed.pid).is_none() {
        return Err(Errno::ESRCH);
    }
    if claimed.uid == u32::MAX || claimed.gid == u32::MAX {
        return Err(Errno::EINVAL);
    }
    Ok(Credentials { pid: claimed.pid, uid: claimed.uid, gid: claimed.gid })
}

/// Where control messages are written.
pub struct Control {
    /// The program's buffer; 0 for none.
    address: usize,
    /// Bytes written.
    pub written: usize,
    room: usize,
    /// Whether there was not room for everything (`MSG_CTRUNC`).
    pub truncated: bool,
}

impl Control {
    /// A buffer of `room` bytes.
    pub fn new(address: usize, room: usize) -> Self {
        Self { address, written: 0, room, truncated: false }
    }

    /// Writes what has come along with a message. Descriptors are closed on `execve` if `close_on_exec`; files for which
    /// there is no room or no descriptor are lost.
    pub async fn deliver(
        &mut self,
        caller: &Caller,
        delivery: Delivery,
        tells_credentials: bool,
        close_on_exec: bool,
    ) {
        if self.address == 0 {
            self.truncated |= tells_credentials || delivery.files.is_some();
            return;
        }
        if tells_credentials {
            let Credentials { pid, uid, gid } = delivery.credentials.unwrap_or_default();
            self.put(caller, SCM_CREDENTIALS, UserCredentials { pid, uid, gid }.as_bytes()).await;
        }
        if let Some(files) = delivery.files {
            self.put_files(caller, files, close_on_exec).await;
        }
    }

    /// Writes a control message, cut off where the room ends. One that cannot be written is left out.
    async fn put(&mut self, caller: &Caller, kind: u32, data: &[u8]) {
        let left = self.room - self.written;
        if left < HEADER {
            self.truncated = true;
            return;
        }
        let whole = HEADER + data.len();
        let len = whole.min(left);
        self.truncated |= len < whole;
        let at = self.address.wrapping_add(self.written);
        if user_memory::copy_out(caller, at.wrapping_add(HEADER), &data[..len - HEADER]).await.is_ok()
            && user_memory::write(caller, at, header(kind, len)).await.is_ok()
        {
            self.written += whole.next_multiple_of(size_of::<u64>()).min(left);
        }
    }

    /// Gives the caller descriptors for files, as many as there is room for.
    async fn put_files(&mut self, caller: &Caller, files: Vec<Arc<dyn Passenger>>, close_on_exec: bool) {
        let left = self.room - self.written;
        let places = left.saturating_sub(HEADER) / size_of::<i32>();
        let at = self.address.wrapping_add(self.written);
        let all = files.len();
        let mut given = 0;
        for file in files.into_iter().take(places) {
            let file: Arc<dyn Any + Send + Sync> = file;
            let Ok(file) = file.downcast::<File>() else { break };
            let Ok(descriptor) = descriptor::reserve(caller) else { break };
            let place = at.wrapping_add(HEADER + given * size_of::<i32>());
            if user_memory::write(caller, place, descriptor.number() as i32).await.is_err() {
                break;
            }
            descriptor.fill(file, close_on_exec);
            given += 1;
        }
        self.truncated |= given < all;
        let len = HEADER + given * size_of::<i32>();
        if given > 0 && user_memory::write(caller, at, header(SCM_RIGHTS, len)).await.is_ok() {
            self.written += len.next_multiple_of(size_of::<u64>()).min(left);
        }
    }
}

fn header(kind: u32, len: usize) -> Header {
    Header { len: len as u64, level: SOL_SOCKET as i32, kind: kind as i32 }
}
