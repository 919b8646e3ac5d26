//! Capabilities: capget(2), capset(2), and prctl(2)'s part in them.

use fs::Capabilities;
use linux_raw_sys::{general as linux, prctl as options};
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::identity;
use crate::process::{
    Caller,
    capabilities::{ALL, SecureBits, numbered},
    tree,
};
use crate::user_memory::{self, SysResult};

/// `struct __user_cap_header_struct`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`: 32 capabilities of each set.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The header, and how many [`Data`] its version speaks of. For a version that there is none of, the header is told the
/// newest: None.
async fn read_header(caller: &Caller, address: usize) -> Result<Option<(Header, usize)>, Errno> {
    let mut header: Header = user_memory::read(caller, address).await?;
    let count = match header.version {
        linux::_LINUX_CAPABILITY_VERSION_1 => 1,
        linux::_LINUX_CAPABILITY_VERSION_2 | linux::_LINUX_CAPABILITY_VERSION_3 => 2,
        _ => {
            header.version = linux::_LINUX_CAPABILITY_VERSION_3;
            user_memory::write(caller, address, header.version).await?;
            return Ok(None);
        }
    };
    Ok(Some((header, count)))
}

pub async fn capget(caller: &Caller, header: usize, data: usize) -> SysResult {
    let Some((header, count)) = read_header(caller, header).await? else {
        // Who gives no room has only asked for the version.
        return if data == 0 { Ok(0) } else { Err(Errno::EINVAL) };
    };
    let pid = u32::try_from(header.pid).map_err(|_| Errno::EINVAL)?;
    let credentials = match pid {
        0 => caller.credentials.clone(),
        pid if pid == caller.thread.tid() => caller.credentials.clone(),
        pid => {
            let thread = tree::lock().thread(pid).ok_or(Errno::ESRCH)?;
            thread.process.credentials()
        }
    };
    if data == 0 {
        return Ok(0);
    }
    let sets = [credentials.fs.capabilities, credentials.sets.permitted, credentials.sets.inheritable];
    let word = |set: Capabilities, index: usize| (set.bits() >> (32 * index)) as u32;
    let of = |index| {
        let [effective, permitted, inheritable] = sets.map(|set| word(set, index));
        Data { effective, permitted, inheritable }
    };
    let both = [of(0), of(1)];
    user_memory::copy_out(caller, data, both[..count].as_bytes()).await?;
    Ok(0)
}

pub async fn capset(caller: &mut Caller, header: usize, data: usize) -> SysResult {
    let (header, count) = read_header(caller, header).await?.ok_or(Errno::EINVAL)?;
    if header.pid != 0 && header.pid as u32 != caller.thread.tid() {
        return Err(Errno::EPERM);
    }
    let mut both = [Data::default(); 2];
    user_memory::copy_in(caller, data, both[..count].as_mut_bytes()).await?;
    let set = |half: fn(&Data) -> u32| {
        let bits = u64::from(half(&both[0])) | u64::from(half(&both[1])) << 32;
        Capabilities::from_bits_retain(bits) & ALL
    };
    let (effective, permitted, inheritable) =
        (set(|data| data.effective), set(|data| data.permitted), set(|data| data.inheritable));
    identity::try_change(caller, |credentials| {
        credentials.set_capabilities(effective, permitted, inheritable)
    })
}

/// prctl(2) about capabilities; None for other options.
pub fn prctl(caller: &mut Caller, option: u32, arguments: [usize; 4]) -> Option<SysResult> {
    let [argument, others @ ..] = arguments;
    let secure = caller.credentials.sets.secure;
    Some(match option {
        options::PR_CAPBSET_READ => {
            numbered(argument).map(|one| usize::from(caller.credentials.sets.bounding.contains(one)))
        }
        options::PR_CAPBSET_DROP => identity::try_change(caller, |credentials| {
            let dropped = numbered(argument);
            credentials.drop_bounding(dropped.unwrap_or(Capabilities::empty())).and(dropped).map(drop)
        }),
        options::PR_GET_SECUREBITS => Ok(secure.bits() as usize),
        options::PR_SET_SECUREBITS => {
            identity::try_change(caller, |credentials| credentials.set_secure_bits(argument))
        }
        options::PR_GET_KEEPCAPS => Ok(usize::from(secure.contains(SecureBits::KEEP_CAPS))),
        options::PR_SET_KEEPCAPS if argument > 1 => Err(Errno::EINVAL),
        options::PR_SET_KEEPCAPS => {
            identity::try_change(caller, |credentials| credentials.set_keep_capabilities(argument == 1))
        }
        options::PR_CAP_AMBIENT => ambient(caller, argument as u32, others),
        _ => return None,
    })
}

fn ambient(caller: &mut Caller, act: u32, [capability, others @ ..]: [usize; 3]) -> SysResult {
    if others != [0; 2] {
        return Err(Errno::EINVAL);
    }
    if act == options::PR_CAP_AMBIENT_CLEAR_ALL && capability == 0 {
        return identity::try_change(caller, |credentials| {
            credentials.sets.ambient = Capabilities::empty();
            Ok(())
        });
    }
    let one = numbered(capability)?;
    match act {
        options::PR_CAP_AMBIENT_IS_SET => Ok(usize::from(caller.credentials.sets.ambient.contains(one))),
        options::PR_CAP_AMBIENT_RAISE => {
            identity::try_change(caller, |credentials| credentials.raise_ambient(one))
        }
        options::PR_CAP_AMBIENT_LOWER => identity::try_change(caller, |credentials| {
            credentials.sets.ambient -= one;
            Ok(())
        }),
        _ => Err(Errno::EINVAL),
    }
}
