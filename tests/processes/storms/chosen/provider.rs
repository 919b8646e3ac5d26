//! Who provides buffers: those that the observer says, which nobody has.

use super::consumer::{finish_requests, if_over};
use super::event::{LEAVING, PICKED, PROVIDED, PROVIDING};
use super::places::{BUFFER_RING, BUFFERS_MAX, NOTHING, PLACES, PUT, SIZE, WORDS, address_of};
use super::request::{FIRST_GROUP, Plan, What};
use super::submitter::Asker;
use super::{Group, Shape};
use crate::library::{
    Choice, SHARED, either, end_thread, expect, go_to_any, if_zero, load, lock_shared, nap, store, store8,
    unlock_shared,
};
use linux_raw_sys::io_uring::io_uring_register_op as register_op;
use processes::instruction::Register::{R8, R9, R12, R14, R15, Rax, Rbx, Rcx};
use processes::program::{Label, Program};

/// Provides one buffer after the other until all is over.
pub fn provider(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &Plan, asker: Asker, look: Label) {
    let most = [1_000, 4_000, 16_000][choice.below(3) as usize];
    let (again, over) = (p.here(), p.label());
    if_over(p, over);
    nap(p, most);
    for (group, label) in go_to_any(p, shape.groups.len()).into_iter().enumerate() {
        p.put(label);
        p.tell(PICKED, &[group.into()]);
        if_zero(p, Rax, again);
        // r14: the buffer's number; r15: where it is.
        p.set(R14, Rax);
        p.add_constant(R14, -1);
        p.set(R15, R14);
        (0..2).for_each(|_| p.add(R15, R15));
        p.add(R15, R14);
        (0..3).for_each(|_| p.add(R15, R15));
        p.add_constant(R15, address_of(group * BUFFERS_MAX) as i64 - (group * BUFFERS_MAX * SIZE) as i64);
        p.call(look);
        if shape.groups[group].is_ring {
            put(p, &shape.groups[group]);
        } else {
            let [usual, rare] = [0, 1].map(|way| plan.of(What::Provide(group))[way]);
            let provide = |p: &mut Program, template| {
                write(p, plan, template, asker);
                p.tell(PROVIDING, &[R14.into(), Rbx.into()]);
                asker.submit(p, 1);
            };
            either(p, 3, |p| provide(p, usual), |p| provide(p, rare));
        }
        p.jump(again);
    }
    p.put(over);
    // It may just have submitted something.
    p.tell(LEAVING, &[asker.party.into()]);
    end_thread(p);
}

/// Writes a request that provides the buffer that has number r14, at r15, or those from it on; rbx is its name.
fn write(p: &mut Program, plan: &Plan, template: usize, asker: Asker) {
    p.set(R12, plan.all[template].at);
    asker.write(p, 0);
    store8(p, asker.at + 8, R14);
    store8(p, asker.at + 16, R15);
}

/// Puts the buffer that has number r14, at r15, into the ring of its group; r8 and r9 are lost.
fn put(p: &mut Program, group: &Group) {
    lock_shared(p, PLACES);
    p.tell(PROVIDING, &[R14.into(), 0.into()]);
    load(p, R8, SHARED + PUT as usize);
    p.set(R9, R8);
    p.and(R9, group.count as i64 - 1);
    (0..4).for_each(|_| p.add(R9, R9));
    p.add_constant(R9, BUFFER_RING as i64);
    p.write8(R9, 0, R15);
    p.set(Rcx, SIZE);
    p.write4(R9, 8, Rcx);
    // Behind the number is, in the first place, the ring's tail.
    p.read4(Rax, R9, 12);
    p.and(Rax, -0x1_0000);
    p.add(Rax, R14);
    p.write4(R9, 12, Rax);
    p.add_constant(R8, 1);
    store(p, SHARED + PUT as usize, R8);
    p.set(R9, BUFFER_RING);
    p.read4(Rax, R9, 12);
    p.add_constant(Rax, 0x1_0000);
    p.write4(R9, 12, Rax);
    p.tell(PROVIDED, &[R14.into()]);
    unlock_shared(p, PLACES);
}

/// Makes a group of a ring of buffers.
pub fn register_ring(p: &mut Program, shape: &Shape, group: usize) {
    let (number, count) = (FIRST_GROUP + group as u64, shape.groups[group].count as u64);
    let asked = p.words(&[BUFFER_RING as u64, count | number << 32, 0, 0, 0]);
    shape.rings[0].register(p, register_op::IORING_REGISTER_PBUF_RING, asked, 1);
    expect(p, Rax, &[0], 40);
}

/// Provides all buffers in the beginning.
pub fn stock(p: &mut Program, shape: &Shape, plan: &Plan, asker: Asker, look: Label) {
    for (index, group) in shape.groups.iter().enumerate() {
        let ids = index * BUFFERS_MAX..;
        let ids: Vec<usize> = ids.take(group.count).collect();
        for id in &ids {
            p.set(R15, address_of(*id));
            p.set(Rcx, NOTHING);
            (0..WORDS as i64).for_each(|word| p.write8(R15, 8 * word, Rcx));
        }
        if group.is_ring {
            register_ring(p, shape, index);
        } else {
            p.set(R14, ids[0]);
            p.set(R15, address_of(ids[0]));
            write(p, plan, plan.of(What::Provide(index))[2], asker);
        }
        for id in ids {
            if group.is_ring {
                p.set(R14, id);
                p.set(R15, address_of(id));
                put(p, group);
            } else {
                p.tell(PROVIDING, &[id.into(), Rbx.into()]);
            }
        }
        if !group.is_ring {
            asker.submit(p, 1);
            finish_requests(p, shape, look);
        }
    }
}
