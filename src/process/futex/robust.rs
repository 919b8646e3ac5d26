//! Mutexes whose owners die (set_robust_list(2)).

use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::wake_address;
use crate::{
    arch::{uaccess, user::Access},
    process::Caller,
    user_memory::{self, fault_in},
};

/// Marks the mutexes that a dying thread holds: sets the owner-died bit and wakes a waiter.
pub async fn exit_robust_list(caller: &mut Caller) {
    const LIMIT: usize = 2048;
    let head = caller.thread.robust_list.swap(0, Ordering::Relaxed);
    if head == 0 {
        return;
    }
    // { next, offset of the futex word, the entry being locked or unlocked right now }
    let Ok([first, offset, pending]) = user_memory::read::<[usize; 3]>(caller, head).await else { return };
    let mut entry = first;
    for _ in 0..LIMIT {
        // Bit 0 marks a priority-inheritance mutex.
        let address = entry & !1;
        if address == head || address == 0 {
            break;
        }
        let Ok(next) = user_memory::read::<usize>(caller, address).await else { break };
        if address != pending & !1 && release_dead(caller, address.wrapping_add(offset), false).await.is_err()
        {
            return;
        }
        entry = next;
    }
    if pending & !1 != 0 {
        let _ = release_dead(caller, (pending & !1).wrapping_add(offset), true).await;
    }
}

async fn release_dead(caller: &mut Caller, address: usize, pending: bool) -> Result<(), Errno> {
    loop {
        let value: u32 = user_memory::read(caller, address).await?;
        if value & linux::FUTEX_TID_MASK != caller.thread.tid() {
            // A mutex caught between its unlock and the wake that follows must still wake somebody.
            if pending && value == 0 {
                wake_address(caller, address, 1).await?;
            }
            return Ok(());
        }
        let new = value & linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED;
        match uaccess::cmpxchg_user_u32(address, value, new) {
            Ok(seen) if seen == value => {
                if value & linux::FUTEX_WAITERS != 0 {
                    wake_address(caller, address, 1).await?;
                }
                return Ok(());
            }
            Ok(_) => {}
            Err(fault) => fault_in(caller, fault.address, Access::Write).await?,
        }
    }
}
