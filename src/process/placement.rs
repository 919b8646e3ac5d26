//! Where the parts of a new program go: at random, so that an attacker who can make it jump has to guess where to.
//!
//! ```text
//!   0         program        heap             mappings            stack   vDSO      USER_END
//!   ├───────────██████─────────██►──────────────◄█████──────────────◄███────██────────┤
//!           28 bits       13 bits                   28 bits           22 bits
//! ```
//!
//! The bits are of pages, as many as on Linux. A program that is linked to fixed addresses stays where it is.

use core::ops::{Range, RangeInclusive};

use crate::{arch::layout::USER_END, memory::PAGE_SIZE, random, vdso};

/// The lowest place of a position-independent program: two thirds up the address space, as on Linux.
const PROGRAM: usize = 0x5555_5555_4000;
const PROGRAM_BITS: u32 = 28;
const HEAP_BITS: u32 = 13;
const MAPPING_BITS: u32 = 28;
const STACK_BITS: u32 = 22;
/// The least and the most room that the stack is left to grow into, bytes.
const STACK_ROOM: RangeInclusive<usize> = 128 << 20..=USER_END / 6 * 5;
/// What one page table maps, bytes.
const TABLE_SPAN: usize = 2 << 20;

/// Places for one program.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// Where the stack ends.
    pub stack_top: usize,
    /// Where the vDSO begins: above the stack, where one page table serves both.
    pub vdso: usize,
    /// Mappings are placed downwards from here.
    pub mapping_top: usize,
    /// Where a position-independent program begins.
    pub program: usize,
    /// Bytes between the program's data and its heap.
    pub heap_gap: usize,
    /// What the program takes its own secrets from (`AT_RANDOM`).
    pub seed: [usize; 2],
}

/// A random number of pages, in bytes.
fn pages(random: usize, bits: u32) -> usize {
    (random & ((1 << bits) - 1)) * PAGE_SIZE
}

/// The addresses from `top` that the page table maps that also maps what is right below `top`.
fn room_above(top: usize) -> Range<usize> {
    top..top.next_multiple_of(TABLE_SPAN).min(USER_END)
}

impl Placement {
    /// Places at random, or always the same if that is not wanted; the stack may grow to `stack_limit` bytes.
    pub fn new(stack_limit: u64, at_random: bool) -> Self {
        let [places @ .., seed, more_seed] = random::words::<7>();
        let [stack, vdso, mapping, program, heap] = if at_random { places } else { [0; _] };
        let mut stack_top = USER_END - pages(stack, STACK_BITS);
        if room_above(stack_top).len() < vdso::SIZE {
            stack_top -= vdso::SIZE;
        }
        let room = room_above(stack_top);
        let places = (room.len() - vdso::SIZE) / PAGE_SIZE + 1;
        let stack_room = usize::try_from(stack_limit).unwrap_or(usize::MAX);
        let stack_room = stack_room.clamp(*STACK_ROOM.start(), *STACK_ROOM.end()) & !(PAGE_SIZE - 1);
        Self {
            stack_top,
            vdso: room.start + vdso % places * PAGE_SIZE,
            mapping_top: stack_top - stack_room - pages(mapping, MAPPING_BITS),
            program: PROGRAM + pages(program, PROGRAM_BITS),
            heap_gap: pages(heap, HEAP_BITS),
            seed: [seed, more_seed],
        }
    }
}
