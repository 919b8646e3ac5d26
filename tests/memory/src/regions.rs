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
        let regions = now(space.regions()).expect("memory");
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

/// Pages of which a model knows the flags.
const PAGES: usize = 3000;
const BASE: usize = 0x20_0000_0000;

type Model = Vec<Option<u32>>;

/// The regions that a model has: pages next to each other with the same flags are one.
fn regions_of(model: &Model) -> Vec<(usize, usize, u32)> {
    let mut regions = Vec::<(usize, usize, u32)>::new();
    for (page, flags) in model.iter().enumerate() {
        let Some(flags) = *flags else { continue };
        match regions.last_mut() {
            Some((start, len, same)) if *start + *len == page && *same == flags => *len += 1,
            _ => regions.push((page, 1, flags)),
        }
    }
    regions
}

fn regions_in(space: &AddressSpace) -> Vec<(usize, usize, u32)> {
    let regions = now(space.regions()).expect("memory");
    let numbers = |region: &crate::memory::space::Region| {
        ((region.start - BASE) / PAGE, region.len() / PAGE, region.flags.bits())
    };
    regions.iter().rev().map(numbers).collect()
}

/// Thousands of regions that come, go, change, are cut and joined, in spaces that have the same ones since a fork.
#[test]
fn any_number_of_regions_is_as_in_a_model() {
    use crate::memory::{Form, RegionFlags};
    use crate::model::Random;
    let _machine = machine();
    for seed in 1..=6 {
        let mut random = Random(seed * 0x9e37_79b9);
        let mut spaces = vec![(AddressSpace::new().expect("memory"), vec![None; PAGES])];
        let mut most = 0;
        for step in 0..6000 {
            let (family, which) = (spaces.len(), random.below(spaces.len()));
            let (mut born, mut is_over) = (None, false);
            let (space, model) = &mut spaces[which];
            // At first single pages, so that there are many regions; then more and more large parts.
            let longest = if step < 4000 { 2 } else { 1 + PAGES / 4 * (step - 4000) / 2000 };
            let start = random.below(PAGES);
            let count = (1 + random.below(longest)).min(PAGES - start);
            let (address, len) = (BASE + start * PAGE, count * PAGE);
            let pages = &mut model[start..start + count];
            match random.below(if step < 4000 { 8 } else { 12 }) {
                0..=3 => {
                    let base = Mapping::anonymous(len, [1, 3][random.below(2)]);
                    let flags = RegionFlags::from_bits_retain(base.prot);
                    let mapping = Mapping { hint: address, flags: base.flags | linux::MAP_FIXED, ..base };
                    assert_eq!(now(space.map(mapping)), Ok(address));
                    pages.fill(Some(flags.bits()));
                }
                4 => {
                    assert_eq!(now(space.unmap(address, len)), Ok(()));
                    pages.fill(None);
                }
                5..=7 => {
                    let prot = [0, 1, 3, 5][random.below(4)];
                    let end = pages.iter().position(Option::is_none);
                    let done = now(space.protect(address, len, prot));
                    assert_eq!(done.is_ok(), end.is_none());
                    for page in pages[..end.unwrap_or(count)].iter_mut().flatten() {
                        *page = *page & !7 | prot;
                    }
                }
                8 => {
                    let (advice, set) = match random.below(2) {
                        0 => (linux::MADV_DONTDUMP, true),
                        _ => (linux::MADV_DODUMP, false),
                    };
                    let done = now(space.advise(address, len, advice));
                    assert_eq!(done.is_ok(), pages.iter().all(Option::is_some));
                    for page in pages.iter_mut().flatten() {
                        let flags = RegionFlags::from_bits_retain(*page);
                        *page =
                            if set { flags | RegionFlags::DONT_DUMP } else { flags - RegionFlags::DONT_DUMP }
                                .bits();
                    }
                }
                9 if family < 4 => {
                    born = Some((now(space.fork(Form::Shared)).expect("memory"), model.clone()));
                }
                10 => is_over = family > 2,
                _ => {
                    let covered = pages.iter().all(Option::is_some);
                    assert_eq!(now(space.presence(address..address + len)).is_ok(), covered);
                }
            }
            if is_over {
                spaces.swap_remove(which);
            }
            spaces.extend(born);
            most = most.max(spaces.iter().map(|(_, model)| regions_of(model).len()).max().unwrap_or(0));
            if step % 50 == 0 {
                for (space, model) in &spaces {
                    assert_eq!(regions_in(space), regions_of(model), "seed {seed}, step {step}");
                    assert_eq!(space.usage().mapped, model.iter().flatten().count() * PAGE);
                }
            }
        }
        assert!(most > 500, "only {most} regions");
    }
}

/// Where a mapping of so many pages goes: as high as possible, and below all pages if there is no room among them.
fn place_for(model: &Model, count: usize) -> isize {
    let mut end = PAGES;
    for page in (0..PAGES).rev() {
        if model[page].is_some() {
            if end - page > count {
                break;
            }
            end = page;
        }
    }
    end as isize - count as isize
}

#[test]
fn the_highest_hole_that_is_large_enough_is_taken() {
    use crate::model::Random;
    let _machine = machine();
    for seed in 1..=4 {
        let mut random = Random(seed * 0x2545_f491);
        let space = AddressSpace::new().expect("memory");
        now(space.set_mapping_top(BASE + PAGES * PAGE));
        let mut model: Model = vec![None; PAGES];
        for step in 0..8000 {
            let count = [1, 1, 1, 1 + random.below(12), 1 + random.below(200)][random.below(5)];
            if random.below(9) < 4 {
                let start = random.below(PAGES);
                let count = (count % 8 + 1).min(PAGES - start);
                assert_eq!(now(space.unmap(BASE + start * PAGE, count * PAGE)), Ok(()));
                model[start..start + count].fill(None);
                continue;
            }
            let expected = place_for(&model, count);
            let base = Mapping::anonymous(count * PAGE, [1, 3][random.below(2)]);
            let address = now(space.map(base)).expect("a place");
            assert_eq!(
                (address as isize - BASE as isize) / PAGE as isize,
                expected,
                "seed {seed}, step {step}"
            );
            // What does not fit in the window goes again.
            match usize::try_from(expected) {
                Ok(start) => model[start..start + count].fill(Some(0)),
                Err(_) => assert_eq!(now(space.unmap(address, count * PAGE)), Ok(())),
            }
        }
    }
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
