//! The System V objects that a process knows, by their sort: as hints, as with descriptors.

use crate::kind::Object;
use std::sync::atomic::{AtomicI32, Ordering};
use support::random::Random;

/// Noted of each sort.
const ROOM: usize = 4;

/// Shared by the threads of a process; nothing pairs with anything.
static NOTED: [[AtomicI32; ROOM]; Object::COUNT] =
    [const { [const { AtomicI32::new(-1) }; ROOM] }; Object::COUNT];

/// Notes the number of one.
pub fn note(random: &mut Random, object: Object, id: i32) {
    random.of(&NOTED[object as usize]).store(id, Ordering::Relaxed);
}

/// The number of one: mostly.
pub fn pick(random: &mut Random, object: Object) -> i32 {
    let sort = if random.one_in(12) { random.below(Object::COUNT as u64) as usize } else { object as usize };
    let id = random.of(&NOTED[sort]).load(Ordering::Relaxed);
    if id >= 0 { id } else { random.below(40) as i32 }
}
