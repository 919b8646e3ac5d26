//! Who a process is: ids of processes, users, groups and sessions (getpid(2), setuid(2), setpgid(2)...).

use fs::Credentials as FsCredentials;
use syscalls::Errno;

use super::attempt::{Attempt, Pause, copy_out};
use crate::{
    arch::user::UserContext,
    process::{
        Caller,
        credentials::{Credentials, UNCHANGED, capability, checked},
        job, tree,
    },
    user_memory::{self, SysResult},
};

pub fn getpgid(caller: &Caller, pid: i32) -> SysResult {
    job::group_of(caller, checked_pid(pid)?).map(|group| group as usize)
}

pub fn setpgid(caller: &Caller, pid: i32, group: i32) -> SysResult {
    if group < 0 || group == 0 && pid < 0 {
        return Err(Errno::EINVAL);
    }
    job::set_group(caller, checked_pid(pid)?, group as u32).map(|()| 0)
}

pub fn getsid(caller: &Caller, pid: i32) -> SysResult {
    job::session_of(caller, checked_pid(pid)?).map(|session| session as usize)
}

pub fn setsid(caller: &Caller) -> SysResult {
    job::new_session(caller).map(|session| session as usize)
}

/// vhangup: ends the use of the session's terminal by everybody.
pub fn vhangup(caller: &Caller) -> SysResult {
    if !caller.credentials.has(capability::SYS_TTY_CONFIG) {
        return Err(Errno::EPERM);
    }
    if let Some(terminal) = job::terminal(caller) {
        terminal.hang_up();
    }
    Ok(0)
}

fn checked_pid(pid: i32) -> Result<u32, Errno> {
    if (0..tree::PID_MAX as i32).contains(&pid) { Ok(pid as u32) } else { Err(Errno::ESRCH) }
}

pub fn setuid(caller: &mut Caller, uid: u32) -> SysResult {
    let wanted = if caller.credentials.may_set_uids() { [uid; 3] } else { [UNCHANGED, uid, UNCHANGED] };
    if uid == UNCHANGED {
        return Err(Errno::EINVAL);
    }
    set_users(caller, wanted)
}

pub fn setgid(caller: &mut Caller, gid: u32) -> SysResult {
    let wanted = if caller.credentials.may_set_gids() { [gid; 3] } else { [UNCHANGED, gid, UNCHANGED] };
    if gid == UNCHANGED {
        return Err(Errno::EINVAL);
    }
    set_groups(caller, wanted)
}

pub fn setresuid(caller: &mut Caller, real: u32, effective: u32, saved: u32) -> SysResult {
    set_users(caller, [real, effective, saved])
}

pub fn setresgid(caller: &mut Caller, real: u32, effective: u32, saved: u32) -> SysResult {
    set_groups(caller, [real, effective, saved])
}

/// The saved id follows the effective one if the real one is set, or the effective one to other than the old real one.
fn with_saved([old_real, old_effective, _]: [u32; 3], real: u32, effective: u32) -> [u32; 3] {
    let moves_saved = real != UNCHANGED || effective != UNCHANGED && effective != old_real;
    let saved = match (moves_saved, effective) {
        (false, _) => UNCHANGED,
        (true, UNCHANGED) => old_effective,
        (true, effective) => effective,
    };
    [real, effective, saved]
}

pub fn setreuid(caller: &mut Caller, real: u32, effective: u32) -> SysResult {
    let [ruid, euid, _] = caller.credentials.users;
    if !caller.credentials.may_set_uids() && real != UNCHANGED && real != ruid && real != euid {
        return Err(Errno::EPERM);
    }
    let mut wanted = with_saved(caller.credentials.users, real, effective);
    let saved = core::mem::replace(&mut wanted[2], UNCHANGED);
    set_users(caller, wanted)?;
    change(caller, |credentials| {
        if saved != UNCHANGED {
            credentials.users[2] = saved;
        }
    })
}

pub fn setregid(caller: &mut Caller, real: u32, effective: u32) -> SysResult {
    let [rgid, egid, _] = caller.credentials.groups;
    if !caller.credentials.may_set_gids() && real != UNCHANGED && real != rgid && real != egid {
        return Err(Errno::EPERM);
    }
    let mut wanted = with_saved(caller.credentials.groups, real, effective);
    let saved = core::mem::replace(&mut wanted[2], UNCHANGED);
    set_groups(caller, wanted)?;
    change(caller, |credentials| {
        if saved != UNCHANGED {
            credentials.groups[2] = saved;
        }
    })
}

fn set_users(caller: &mut Caller, wanted: [u32; 3]) -> SysResult {
    let new = checked(caller.credentials.users, wanted, caller.credentials.may_set_uids())?;
    change(caller, |credentials| credentials.set_users(new))
}

fn set_groups(caller: &mut Caller, wanted: [u32; 3]) -> SysResult {
    let new = checked(caller.credentials.groups, wanted, caller.credentials.may_set_gids())?;
    change(caller, |credentials| credentials.set_groups(new))
}

/// Changes the caller's credentials; others see the new ones as the process's.
fn change(caller: &mut Caller, change: impl FnOnce(&mut Credentials)) -> SysResult {
    try_change(caller, |credentials| {
        change(credentials);
        Ok(())
    })
}

/// The same, unless the change is refused.
pub fn try_change(
    caller: &mut Caller,
    change: impl FnOnce(&mut Credentials) -> Result<(), Errno>,
) -> SysResult {
    let mut new = Credentials::clone(&caller.credentials);
    change(&mut new)?;
    caller.set_credentials(new);
    Ok(0)
}

/// The old file-system user id, which is set if it is one of the caller's or the caller is privileged.
pub fn setfsuid(caller: &mut Caller, uid: u32) -> usize {
    let old = caller.credentials.fs.uid;
    if uid == old || caller.credentials.users.contains(&uid) || caller.credentials.may_set_uids() {
        let _ = change(caller, |credentials| credentials.set_fs_user(uid));
    }
    old as usize
}

/// As [`setfsuid`], for the group.
pub fn setfsgid(caller: &mut Caller, gid: u32) -> usize {
    let old = caller.credentials.fs.gid;
    if gid == old || caller.credentials.groups.contains(&gid) || caller.credentials.may_set_gids() {
        let _ = change(caller, |credentials| credentials.fs.gid = gid);
    }
    old as usize
}

pub fn getresuid(caller: &Caller, context: &UserContext) -> Attempt {
    tell(&caller.credentials.users, context)
}

pub fn getresgid(caller: &Caller, context: &UserContext) -> Attempt {
    tell(&caller.credentials.groups, context)
}

/// Tells three ids, each in its place.
#[inline(never)]
fn tell(ids: &[u32; 3], context: &UserContext) -> Attempt {
    let addresses = [context.rdi, context.rsi, context.rdx];
    for (id, address) in ids.iter().zip(addresses) {
        copy_out(address as usize, id)?;
    }
    Ok(0)
}

/// Most supplementary groups (`NGROUPS_MAX`).
const NGROUPS_MAX: usize = 65536;

pub fn getgroups(caller: &Caller, size: i32, list: usize) -> Attempt {
    let groups = &caller.credentials.fs.groups;
    if size < 0 || size != 0 && (size as usize) < groups.len() {
        return Err(Pause::Failed(Errno::EINVAL));
    }
    if size != 0 {
        copy_out(list, &groups[..])?;
    }
    Ok(groups.len())
}

pub async fn setgroups(caller: &mut Caller, size: usize, list: usize) -> SysResult {
    if !caller.credentials.may_set_gids() {
        return Err(Errno::EPERM);
    }
    if size > NGROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let groups = user_memory::read_array::<u32>(caller, list, size).await?;
    let sorted = FsCredentials::user(0, 0, &groups).groups;
    change(caller, |credentials| credentials.fs.groups = sorted)
}
