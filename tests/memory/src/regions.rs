//! Placing and joining regions.

use crate::memory::{AddressSpace, Mapping};
use crate::model::{machine, now};
use linux_raw_sys::general as linux;

const PAGE: usize = 4096;

#[test]
fn neighbours_are_joined_and_cut() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let shape = || -> Vec<_> {
        let regions = now(space.regions());
        regions
            .iter()
            .rev()
            .map(|region| ((region.start >> 12) & 0xff, region.len() >> 12, region.flags.bits() & 7))
            .collect()
    };
    let at = |page: usize| 0x1000_0000 + page * PAGE;
    let fixed = |page: usize, count: usize| {
        let base = Mapping::anonymous(count * PAGE, 3);
        now(space.map(Mapping { hint: at(page), flags: base.flags | linux::MAP_FIXED, ..base }))
            .expect("a place");
    };
    fixed(0, 4);
    fixed(8, 4);
    assert_eq!(shape(), [(0, 4, 3), (8, 4, 3)]);
    fixed(4, 4);
    assert_eq!(shape(), [(0, 12, 3)]);
    now(space.protect(at(2), 3 * PAGE, 1)).expect("mapped");
    assert_eq!(shape(), [(0, 2, 3), (2, 3, 1), (5, 7, 3)]);
    now(space.protect(at(1), 5 * PAGE, 0)).expect("mapped");
    assert_eq!(shape(), [(0, 1, 3), (1, 5, 0), (6, 6, 3)]);
    now(space.protect(at(0), 12 * PAGE, 3)).expect("mapped");
    assert_eq!(shape(), [(0, 12, 3)]);
    now(space.unmap(at(3), 2 * PAGE)).expect("valid");
    assert_eq!(shape(), [(0, 3, 3), (5, 7, 3)]);
    now(space.unmap(at(2), 100 * PAGE)).expect("valid");
    assert_eq!(shape(), [(0, 2, 3)]);
    assert_eq!(space.usage().mapped, 2 * PAGE);
}

#[test]
fn mappings_are_placed_downwards_and_fill_gaps() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let map =
        |pages: usize, prot: u32| now(space.map(Mapping::anonymous(pages * PAGE, prot))).expect("a place");
    let (a, b, c) = (map(4, 3), map(4, 1), map(4, 3));
    assert_eq!((a - b, b - c), (4 * PAGE, 4 * PAGE));
    now(space.unmap(b, 4 * PAGE)).expect("valid");
    assert_eq!(map(8, 1), c - 8 * PAGE);
    assert_eq!(map(2, 1), b + 2 * PAGE);
    assert_eq!(map(2, 1), b);
    let low = Mapping {
        flags: linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_32BIT,
        ..Mapping::anonymous(PAGE, 3)
    };
    assert!(now(space.map(low)).expect("a place") < 1 << 31);
}

#[test]
fn thousands_of_regions_end_at_linux_s_limit() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let mut count = 0;
    let outcome = loop {
        // Rights alternate, so that no two are joined.
        match now(space.map(Mapping::anonymous(PAGE, 1 + count % 2 * 2))) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((count, outcome), (65530, syscalls::Errno::ENOMEM));
}

#[test]
fn the_heap_moves() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let base = 0x60_0000 + 123;
    now(space.set_heap(base));
    assert_eq!(now(space.brk(0)), base);
    assert_eq!(now(space.brk(base + 10 * PAGE)), base + 10 * PAGE);
    assert_eq!(now(space.write_bytes(base + 9 * PAGE, b"text")), Ok(()));
    assert_eq!(now(space.brk(base + 20)), base + 20);
    assert!(now(space.write_bytes(base + 9 * PAGE, b"text")).is_err());
    assert_eq!(now(space.brk(base - 1)), base + 20, "refused");
    space.set_limits(u64::MAX, 64 * PAGE as u64, u64::MAX);
    assert_eq!(now(space.brk(base + 65 * PAGE)), base + 20, "over the limit");
    assert_eq!(now(space.brk(base + 60 * PAGE)), base + 60 * PAGE);
}

#[test]
fn shared_memory_is_one_place_for_all() {
    use crate::memory::{Form, Place};
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let shared =
        Mapping { flags: linux::MAP_SHARED | linux::MAP_ANONYMOUS, ..Mapping::anonymous(4 * PAGE, 3) };
    let start = now(space.map(shared)).expect("a place");
    let child = now(space.fork(Form::Shared)).expect("memory");
    let (Ok(Place::Shared(a, at)), Ok(Place::Shared(b, bt))) =
        (now(space.place(start + 5000)), now(child.place(start + 5000)))
    else {
        panic!("shared memory")
    };
    assert!(std::sync::Arc::ptr_eq(&a, &b) && at == 5000 && bt == 5000);
    now(child.write_bytes(start + PAGE - 2, b"over")).expect("mapped");
    let mut text = [0; 4];
    now(space.read_bytes(start + PAGE - 2, &mut text)).expect("mapped");
    assert_eq!(&text, b"over");
}
