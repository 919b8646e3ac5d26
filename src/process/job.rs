//! Process groups, sessions and the controlling terminal (setpgid(2), setsid(2), credentials(7)).

use alloc::sync::Arc;

use drivers::tty::Tty;
use syscalls::Errno;

use super::{Caller, tree};

/// `setpgid`: moves a process, the caller or a child of it that has not called `execve`, to a group.
pub fn set_group(caller: &Caller, pid: u32, group: u32) -> Result<(), Errno> {
    let own = caller.process().pid;
    let pid = if pid == 0 { own } else { pid };
    let group = if group == 0 { pid } else { group };
    let mut tree = tree::lock();
    let session = tree.node(own).ok_or(Errno::ESRCH)?.session;
    let node = tree.node(pid).ok_or(Errno::ESRCH)?;
    if pid != own {
        if node.parent != own {
            return Err(Errno::ESRCH);
        }
        if node.session != session {
            return Err(Errno::EPERM);
        }
        if node.has_execed {
            return Err(Errno::EACCES);
        }
    }
    // A session leader stays the leader of its group.
    if node.session == pid {
        return Err(Errno::EPERM);
    }
    if group != pid && tree.group_session(group) != Some(session) {
        return Err(Errno::EPERM);
    }
    tree.set_group(pid, group, session);
    Ok(())
}

/// `getpgid`: the group of a process; 0 names the caller.
pub fn group_of(caller: &Caller, pid: u32) -> Result<u32, Errno> {
    let pid = if pid == 0 { caller.process().pid } else { pid };
    tree::lock().node(pid).map(|node| node.group).ok_or(Errno::ESRCH)
}

/// `getsid`: the session of a process; 0 names the caller.
pub fn session_of(caller: &Caller, pid: u32) -> Result<u32, Errno> {
    let pid = if pid == 0 { caller.process().pid } else { pid };
    tree::lock().node(pid).map(|node| node.session).ok_or(Errno::ESRCH)
}

/// `setsid`: makes the caller the leader of a new session and group without a terminal.
pub fn new_session(caller: &Caller) -> Result<u32, Errno> {
    let pid = caller.process().pid;
    let mut tree = tree::lock();
    if tree.group_exists(pid) {
        return Err(Errno::EPERM);
    }
    tree.set_group(pid, pid, pid);
    Ok(pid)
}

/// The controlling terminal of the caller's session.
pub fn terminal(caller: &Caller) -> Option<Arc<Tty>> {
    let mut tree = tree::lock();
    let session = tree.node(caller.process().pid)?.session;
    tree.session(session)?.terminal.clone()
}
