//! The sample of interrupted user mode: taken by the thread itself, in its poll, where it may wait and allocate.
//!
//! Callers are found by frame pointers, as far as the program keeps them. A frame is told as a file and an offset in it, so
//! that it means something when the process is gone.

use alloc::{string::String, sync::Arc, vec::Vec};

use executor::sync::SpinMutex;

use super::sampler::{self, Stack, USER};
use crate::{
    arch::{cpu, uaccess, user::UserContext},
    memory::{RegionFlags, space::Region},
    process::Caller,
};

/// Callers that are looked for.
const CALLERS: usize = 32;
/// How far a frame may be from the one that it called.
const FRAME_MAX: usize = 1 << 20;

/// The names of mapped files: a frame names one by its index. Never emptied; no more than can be looked through.
static NAMES: SpinMutex<Vec<Arc<str>>> = SpinMutex::new(Vec::new());
/// As many; the index of those that found no room.
const NAMES_MAX: usize = 1 << 10;
/// Bits of a frame that are the offset.
const OFFSET_BITS: u32 = 48;

/// Samples the calling thread, which has just come back from user mode.
#[cold]
pub async fn sample(caller: &Caller, context: &UserContext) {
    if !(sampler::is_user_wanted() && sampler::is_wanted(Some(caller.process().pid))) {
        return;
    }
    let mut stack = Stack::of(Some(&caller.thread));
    let addresses = callers(context);
    // Without memory there is no sample.
    let Ok(regions) = caller.space.regions().await else { return };
    for (index, address) in addresses.iter().enumerate() {
        // Callers stand behind their call.
        let inside = address - usize::from(index > 0);
        let region = regions.find(inside);
        let Some(region) = region.filter(|region| region.flags.contains(RegionFlags::EXECUTE)) else { break };
        let offset = (inside - region.start) as u64 + region.offset;
        let frame = USER | name_of(region) << OFFSET_BITS | offset & ((1 << OFFSET_BITS) - 1);
        if !stack.push(frame) {
            break;
        }
    }
    if let Some(table) = sampler::tables().get(cpu::id()) {
        table.add(stack.words());
    }
}

/// Where the program was interrupted, and the return addresses that its chain of frame pointers leads to.
fn callers(context: &UserContext) -> Vec<usize> {
    let mut addresses = Vec::new();
    if addresses.try_reserve_exact(CALLERS + 1).is_err() {
        return addresses;
    }
    addresses.push(context.rip() as usize);
    let (mut low, mut frame) = (context.rsp as usize, context.rbp as usize);
    while addresses.len() <= CALLERS
        && frame.is_multiple_of(8)
        && (low..low.saturating_add(FRAME_MAX)).contains(&frame)
        && let Ok([next, address]) = uaccess::copy_value_from_user::<[usize; 2]>(frame)
        && address != 0
    {
        addresses.push(address);
        (low, frame) = (frame + 16, next);
    }
    addresses
}

/// The index of a region's name.
fn name_of(region: &Region) -> u64 {
    let name: String = match &region.object {
        Some(object) => object.identity().name,
        None => "[anonymous]".into(),
    };
    let mut names = NAMES.lock();
    if let Some(index) = names.iter().position(|known| **known == *name) {
        return index as u64;
    }
    if names.len() == NAMES_MAX || names.try_reserve(1).is_err() {
        return NAMES_MAX as u64;
    }
    names.push(name.into());
    names.len() as u64 - 1
}

/// The file and the offset that a frame says.
pub(super) fn resolve(frame: u64) -> (Arc<str>, u64) {
    let index = ((frame & !USER) >> OFFSET_BITS) as usize;
    let name = NAMES.lock().get(index).cloned();
    (name.unwrap_or_else(|| "?".into()), frame & ((1 << OFFSET_BITS) - 1))
}
