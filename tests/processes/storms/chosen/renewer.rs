//! Who does away with the ring that buffers are in, and makes it anew: whatever was in it is in it no more.

use super::Shape;
use super::event::{RENEWED, RENEWING};
use super::places::{BUFFER_RING, PLACES, PUT};
use super::provider::register_ring;
use super::request::FIRST_GROUP;
use crate::library::{Choice, SHARED, expect, lock_shared, nap, store, unlock_shared};
use linux_raw_sys::io_uring::io_uring_register_op as register_op;
use processes::instruction::Register::{R8, Rax};
use processes::program::Program;

/// Renews it some times.
pub fn renewer(p: &mut Program, choice: &mut Choice, shape: &Shape, group: usize) {
    let asked = p.words(&[0, (FIRST_GROUP + group as u64) << 32, 0, 0, 0]);
    for _ in 0..1 + choice.below(3) {
        nap(p, 15_000);
        lock_shared(p, PLACES);
        p.tell(RENEWING, &[group.into()]);
        shape.rings[0].register(p, register_op::IORING_UNREGISTER_PBUF_RING, asked, 1);
        expect(p, Rax, &[0], 70);
        p.tell(RENEWED, &[group.into()]);
        p.set(R8, 0);
        store(p, SHARED + PUT as usize, R8);
        // Its tail.
        store(p, BUFFER_RING + 12, R8);
        register_ring(p, shape, group);
        unlock_shared(p, PLACES);
    }
}
