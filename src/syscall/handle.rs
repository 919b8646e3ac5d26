//! Files by handles: name_to_handle_at(2), open_by_handle_at(2).

use fs::{Capabilities, Handle, LookupFlags};
use linux_raw_sys::general as linux;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::descriptor;
use crate::{
    file::{self, lookup},
    process::Caller,
    user_memory::{self, SysResult},
};

/// `FILEID_INO64_GEN` of Linux: the number's two halves, then the generation.
const NUMBER_AND_GENERATION: i32 = 0x81;
/// What is told instead of the type when there is no room for the handle.
const INVALID: i32 = 0xff;
/// `MAX_HANDLE_SZ`.
const LARGEST: u32 = 128;

/// What `struct file_handle` begins with.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Head {
    /// Bytes behind this.
    bytes: u32,
    kind: i32,
}

/// What comes behind that.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Body {
    number: [u32; 2],
    generation: u32,
}

impl From<Handle> for Body {
    fn from(handle: Handle) -> Self {
        let number = [handle.number as u32, (handle.number >> 32) as u32];
        Self { number, generation: handle.generation }
    }
}

impl From<Body> for Handle {
    fn from(body: Body) -> Self {
        let [low, high] = body.number.map(u64::from);
        Self { number: low | high << 32, generation: body.generation }
    }
}

const BODY: u32 = size_of::<Body>() as u32;

pub async fn name_to_handle_at(
    caller: &Caller,
    directory: i32,
    path: usize,
    address: usize,
    mount: usize,
    flags: u32,
) -> SysResult {
    if flags & !(linux::AT_SYMLINK_FOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let follow =
        if flags & linux::AT_SYMLINK_FOLLOW != 0 { LookupFlags::FOLLOW } else { LookupFlags::empty() };
    let name = user_memory::read_path(caller, path).await?;
    if lookup::is_descriptor(directory, &name, flags) && caller.files.get(directory)?.path().is_none() {
        // A pipe or a socket is on no file system that has handles.
        return Err(Errno::EOPNOTSUPP);
    }
    let found = lookup::path_or_descriptor(caller, directory, &name, follow, flags).await?;
    let handle = found.handle()?;
    let room = user_memory::read::<Head>(caller, address).await?.bytes;
    if room > LARGEST {
        return Err(Errno::EINVAL);
    }
    let fits = room >= BODY;
    user_memory::write(caller, mount, found.mount().id() as i32).await?;
    let kind = if fits { NUMBER_AND_GENERATION } else { INVALID };
    user_memory::write(caller, address, Head { bytes: BODY, kind }).await?;
    if !fits {
        return Err(Errno::EOVERFLOW);
    }
    user_memory::write(caller, address.wrapping_add(size_of::<Head>()), Body::from(handle)).await?;
    Ok(0)
}

pub async fn open_by_handle_at(caller: &Caller, mount: i32, address: usize, flags: u32) -> SysResult {
    if !caller.credentials.has(Capabilities::DAC_READ_SEARCH) {
        return Err(Errno::EPERM);
    }
    let head: Head = user_memory::read(caller, address).await?;
    if head.bytes == 0 || head.bytes > LARGEST {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; LARGEST as usize];
    let bytes = &mut bytes[..head.bytes as usize];
    user_memory::copy_in(caller, address.wrapping_add(size_of::<Head>()), bytes).await?;
    let on = match mount {
        lookup::CWD => caller.fs.places().working.clone(),
        // What is on no file system has no handles either.
        _ => caller.files.get_open(mount)?.path().cloned().ok_or(Errno::ESTALE)?,
    };
    if head.kind != NUMBER_AND_GENERATION {
        return Err(Errno::ESTALE);
    }
    let (body, _) = Body::read_from_prefix(bytes).map_err(|_| Errno::ESTALE)?;
    let place = on.find(body.into()).await?;
    let descriptor = descriptor::reserve(caller)?;
    let file = file::open_place(caller, &place, flags).await?;
    Ok(descriptor.fill(file, flags & linux::O_CLOEXEC != 0))
}
