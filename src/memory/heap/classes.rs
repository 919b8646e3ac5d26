//! Size classes: which sizes the kernel heap keeps in stock.

use core::alloc::Layout;

/// Sizes in bytes. Steps of 16 up to 128; above, what divides a 4 KiB slab with little left over. Powers of two are
/// among them, and their objects are aligned to their size.
pub(super) const SIZES: [u16; 23] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 336, 400, 448, 512, 576, 672, 816, 1024, 1360,
    2048,
];
/// Number of classes.
pub(super) const CLASSES: usize = SIZES.len();
/// The largest size that has a class.
const LARGEST: usize = 2048;

/// Class of each size, by `(size + 15) / 16`.
static CLASS_OF: [u8; LARGEST / 16 + 1] = {
    let mut table = [0; LARGEST / 16 + 1];
    let mut index = 0;
    let mut class = 0;
    while index < table.len() {
        if index * 16 > SIZES[class] as usize {
            class += 1;
        }
        table[index] = class as u8;
        index += 1;
    }
    table
};

/// The class that serves `layout`; None for what is too large and comes from frames directly.
#[inline(always)]
pub(super) fn class_of(layout: Layout) -> Option<usize> {
    let size = if layout.align() <= 16 {
        layout.size()
    } else {
        // Objects lie at multiples of their size in a page, so a power of two aligns them.
        layout.size().max(layout.align()).next_power_of_two()
    };
    if size > LARGEST {
        return None;
    }
    Some(CLASS_OF[size.div_ceil(16)] as usize)
}

/// Objects in one slab, by class.
pub(super) static CAPACITY: [u16; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        table[class] = 4096 / SIZES[class];
        class += 1;
    }
    table
};

/// Objects in a full magazine, by class: enough to make visits to the shared lists rare, few enough that a CPU hoards
/// at most 4 KiB of each small size and eight of each large one.
pub(super) static ROUNDS: [u8; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let fitting = 4096 / SIZES[class];
        table[class] = if fitting > 64 {
            64
        } else if fitting < 8 {
            8
        } else {
            fitting as u8
        };
        class += 1;
    }
    table
};
