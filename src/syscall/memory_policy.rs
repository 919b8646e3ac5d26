//! Where memory is to come from: mbind(2), set_mempolicy(2), get_mempolicy(2), set_mempolicy_home_node(2),
//! migrate_pages(2), move_pages(2). All of it is on node 0 here.

use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

use linux_raw_sys::mempolicy as linux;
use syscalls::Errno;

use crate::user_memory::{self, SysResult};
use crate::{
    arch::user::Access,
    memory::{AddressSpace, MemoryPolicy, Nodes, PAGE_SIZE, PageState},
    process::{Caller, Process, credentials::capability, tree},
};

/// The numbers that nodes of a Linux may have, as Debian makes it.
const MAX_NODES: usize = 1024;
const WORD_BITS: usize = u64::BITS as usize;

/// Reads a set of nodes of `bits - 1` bits. EINVAL if it is longer than a page or names what can be no node; EFAULT.
async fn read_nodes(caller: &Caller, from: usize, bits: usize) -> Result<Nodes, Errno> {
    let bits = bits.wrapping_sub(1);
    if bits == 0 || from == 0 {
        return Ok(Nodes::default());
    }
    if bits > PAGE_SIZE * 8 {
        return Err(Errno::EINVAL);
    }
    let mut words: Vec<u64> = user_memory::read_array(caller, from, bits.div_ceil(WORD_BITS)).await?;
    if words.iter().skip(MAX_NODES / WORD_BITS).any(|word| *word != 0) {
        return Err(Errno::EINVAL);
    }
    if let Some(last) = words.last_mut()
        && !bits.is_multiple_of(WORD_BITS)
    {
        *last &= (1 << (bits % WORD_BITS)) - 1;
    }
    let first = words[0] & 1 != 0;
    Ok(Nodes { first, others: words[0] > 1 || words[1..].iter().any(|word| *word != 0) })
}

/// Writes a set of nodes, of which only node 0 can be a member, to one of `bits - 1` bits.
async fn write_nodes(caller: &Caller, to: usize, bits: usize, first: bool) -> Result<(), Errno> {
    const WORD: usize = size_of::<u64>();
    let len = (bits - 1).div_ceil(WORD_BITS) * WORD;
    if len > PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut words = Vec::new();
    words.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    words.resize(len, 0_u8);
    if let Some(lowest) = words.first_mut() {
        *lowest = first.into();
    }
    user_memory::copy_out(caller, to, &words).await
}

/// The whole pages of a call's range; EINVAL.
fn whole_pages(start: usize, len: usize) -> Result<Range<usize>, Errno> {
    // A length that wraps is none, as on Linux.
    let len = len.checked_next_multiple_of(PAGE_SIZE).unwrap_or(0);
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    if start.is_multiple_of(PAGE_SIZE) { Ok(start..end) } else { Err(Errno::EINVAL) }
}

/// Moving pages that others have as well needs a right.
fn check_moves(caller: &Caller, flags: u32) -> Result<(), Errno> {
    if flags & linux::MPOL_MF_MOVE_ALL != 0 && !caller.credentials.has(capability::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

pub async fn mbind(
    caller: &Caller,
    (start, len): (usize, usize),
    mode: u32,
    nodes: (usize, usize),
    flags: u32,
) -> SysResult {
    let policy = MemoryPolicy::asked(mode)?;
    let nodes = read_nodes(caller, nodes.0, nodes.1).await?;
    if flags & !linux::MPOL_MF_VALID != 0 {
        return Err(Errno::EINVAL);
    }
    check_moves(caller, flags)?;
    let range = whole_pages(start, len)?;
    if range.is_empty() {
        return Ok(0);
    }
    caller.space.set_policy(&range, policy.with(nodes)?).await?;
    Ok(0)
}

pub async fn set_mempolicy_home_node(
    caller: &Caller,
    start: usize,
    len: usize,
    node: usize,
    flags: usize,
) -> SysResult {
    let range = whole_pages(start, len)?;
    if flags != 0 || node != 0 {
        return Err(Errno::EINVAL);
    }
    if !range.is_empty() {
        caller.space.check_home_node(&range).await?;
    }
    Ok(0)
}

pub async fn set_mempolicy(caller: &Caller, mode: u32, nodes: usize, bits: usize) -> SysResult {
    let policy = MemoryPolicy::asked(mode)?;
    let nodes = read_nodes(caller, nodes, bits).await?;
    caller.thread.set_memory_policy(policy.with(nodes)?);
    Ok(0)
}

pub async fn get_mempolicy(
    caller: &Caller,
    policy_to: usize,
    (nodes_to, bits): (usize, usize),
    address: usize,
    flags: u32,
) -> SysResult {
    const NODE: u32 = linux::MPOL_F_NODE;
    const ADDRESS: u32 = linux::MPOL_F_ADDR;
    const ALLOWED: u32 = linux::MPOL_F_MEMS_ALLOWED;
    if nodes_to != 0 && bits == 0 || flags & !(NODE | ADDRESS | ALLOWED) != 0 {
        return Err(Errno::EINVAL);
    }
    let (word, names_node) = if flags & ALLOWED != 0 {
        if flags != ALLOWED {
            return Err(Errno::EINVAL);
        }
        (0, true)
    } else {
        let policy = if flags & ADDRESS != 0 {
            caller.space.policy_at(address).await.ok_or(Errno::EFAULT)?
        } else if address != 0 {
            return Err(Errno::EINVAL);
        } else {
            caller.thread.memory_policy()
        };
        let word = match (flags & NODE != 0, flags & ADDRESS != 0) {
            (false, _) => policy.word(),
            // The page's node, or the one whose turn is next.
            (true, true) => {
                user_memory::fault_in(caller, address, Access::Read).await?;
                0
            }
            (true, false) if policy.interleaves() => 0,
            (true, false) => return Err(Errno::EINVAL),
        };
        (word, policy.names_node())
    };
    user_memory::write_optional(caller, policy_to, word).await?;
    if nodes_to != 0 {
        write_nodes(caller, nodes_to, bits, names_node).await?;
    }
    Ok(0)
}

/// The process that is named by one of its threads, or the caller's for 0; ESRCH, and EPERM for who may not look into it.
fn target(caller: &Caller, id: u32) -> Result<Arc<Process>, Errno> {
    if id == 0 {
        return Ok(caller.process().clone());
    }
    let process = {
        let tree = tree::lock();
        let thread = tree.thread(id).map(|thread| thread.process.clone());
        thread.or_else(|| tree.process(id)).ok_or(Errno::ESRCH)?
    };
    let credentials = &caller.credentials;
    let is_own = process.pid == caller.process().pid;
    if !is_own && !process.may_be_inspected(credentials, credentials.users[0], credentials.groups[0]) {
        return Err(Errno::EPERM);
    }
    Ok(process)
}

/// Its memory; EINVAL for one that has exited.
fn space_of(process: &Process) -> Result<Arc<AddressSpace>, Errno> {
    process.space.lock().clone().ok_or(Errno::EINVAL)
}

pub async fn migrate_pages(caller: &Caller, id: u32, bits: usize, from: usize, to: usize) -> SysResult {
    read_nodes(caller, from, bits).await?;
    let nodes = read_nodes(caller, to, bits).await?;
    let process = target(caller, id)?;
    // Nodes that are not there may be named by who may move everybody's pages.
    if nodes.others {
        check_moves(caller, linux::MPOL_MF_MOVE_ALL)?;
    }
    space_of(&process)?;
    // None is left where it was.
    if nodes.first { Ok(0) } else { Err(Errno::EINVAL) }
}

/// Pages that are looked at together.
const AT_ONCE: usize = 64;

pub async fn move_pages(
    caller: &Caller,
    id: u32,
    count: usize,
    (pages, nodes, states): (usize, usize, usize),
    flags: u32,
) -> SysResult {
    if flags & !(linux::MPOL_MF_MOVE | linux::MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL);
    }
    check_moves(caller, flags)?;
    let process = target(caller, id)?;
    let space = space_of(&process)?;
    let part = |array: usize, done: usize, size: usize| array.wrapping_add(done.wrapping_mul(size));
    let mut done = 0;
    while done < count {
        let now = AT_ONCE.min(count - done);
        let addresses: Vec<usize> =
            user_memory::read_array(caller, part(pages, done, size_of::<usize>()), now).await?;
        // The pages before the first that is to go to a node which is not there are told of.
        let allowed = if nodes == 0 {
            now
        } else {
            let nodes: Vec<i32> =
                user_memory::read_array(caller, part(nodes, done, size_of::<i32>()), now).await?;
            nodes.iter().take_while(|node| **node == 0).count()
        };
        let mut told = [0_i32; AT_ONCE];
        let mut places = told.iter_mut();
        let tell = |state| {
            if let Some(place) = places.next() {
                *place = match state {
                    PageState::Present => 0,
                    PageState::Absent => -Errno::ENOENT.into_raw(),
                    PageState::None => -Errno::EFAULT.into_raw(),
                };
            }
        };
        space.page_states(&addresses[..allowed], tell).await;
        let told = &told[..allowed];
        user_memory::copy_out(
            caller,
            part(states, done, size_of::<i32>()),
            zerocopy::IntoBytes::as_bytes(told),
        )
        .await?;
        if allowed < now {
            return Err(Errno::ENODEV);
        }
        done += now;
        executor::make_way().await;
    }
    Ok(0)
}
