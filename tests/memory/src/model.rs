//! Random operations on address spaces, checked against a model that is too simple to be wrong.
//!
//! The model of a space says for each page what it holds (the one word that tests write) and what may be done with it.
//! After each operation some addresses are accessed on some CPU, through that CPU's TLB.

use crate::arch::{self, user::Access};
use crate::memory::frame;
use crate::memory::{AddressSpace, Backing, FaultError, Form, Mapping, RegionFlags};
use linux_raw_sys::general as linux;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::task::{Context, Poll, Waker};

const PAGE: usize = 4096;
/// Pages that tests play with: around the borders of tables of each level.
const AREAS: [usize; 3] = [0x40_0000 - 24 * PAGE, (1 << 30) - 24 * PAGE, (1 << 39) - 24 * PAGE];
const AREA_PAGES: usize = 48;

/// One test at a time: they count the frames of one machine.
pub fn machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    static EXECUTOR: Once = Once::new();
    // What is large is taken apart by a task.
    EXECUTOR.call_once(|| executor::host::block_on(1, async {}));
    let guard = MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for cpu in 0..arch::SIMULATED {
        arch::switch(cpu);
        arch::boot();
    }
    guard
}

/// Runs a future that has nobody to wait for.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("waits for ever");
}

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }
}

/// Writes a word as a program on the current CPU does.
pub fn write(space: &Arc<AddressSpace>, address: usize, value: u64) -> Result<(), FaultError> {
    for _ in 0..4 {
        space.activate();
        if let Some(place) = arch::translate(address, true) {
            // SAFETY: simulated memory.
            unsafe { place.write(value) };
            return Ok(());
        }
        now(space.fault(address, Access::Write))?;
    }
    panic!("faults for ever at {address:#x}");
}

/// Reads a word as a program on the current CPU does.
pub fn read(space: &Arc<AddressSpace>, address: usize) -> Result<u64, FaultError> {
    for _ in 0..4 {
        space.activate();
        if let Some(place) = arch::translate(address, false) {
            // SAFETY: simulated memory.
            return Ok(unsafe { place.read() });
        }
        now(space.fault(address, Access::Read))?;
    }
    panic!("faults for ever at {address:#x}");
}

/// What a shared mapping's pages hold.
type Common = Rc<RefCell<HashMap<usize, u64>>>;

#[derive(Clone)]
enum Contents {
    Private(u64),
    Shared(Common, usize),
}

#[derive(Clone)]
struct Page {
    prot: u32,
    contents: Contents,
}

struct Twin {
    space: Arc<AddressSpace>,
    pages: BTreeMap<usize, Page>,
}

impl Twin {
    fn check(&self, address: usize) {
        let expected = match self.pages.get(&address) {
            None => Err(FaultError::NotMapped),
            Some(page) if page.prot == linux::PROT_NONE => Err(FaultError::Forbidden),
            Some(page) => Ok(match &page.contents {
                Contents::Private(value) => *value,
                Contents::Shared(common, index) => common.borrow().get(index).copied().unwrap_or(0),
            }),
        };
        assert_eq!(read(&self.space, address), expected, "at {address:#x}");
    }

    fn store(&mut self, address: usize, value: u64) {
        let expected = match self.pages.get_mut(&address) {
            None => Err(FaultError::NotMapped),
            Some(page) if page.prot & linux::PROT_WRITE == 0 => Err(FaultError::Forbidden),
            Some(page) => {
                match &mut page.contents {
                    Contents::Private(old) => *old = value,
                    Contents::Shared(common, index) => {
                        common.borrow_mut().insert(*index, value);
                    }
                }
                Ok(())
            }
        };
        assert_eq!(write(&self.space, address, value), expected, "at {address:#x}");
    }

    fn fork(&self, form: Form) -> Self {
        Twin { space: now(self.space.fork(form)).expect("memory for a fork"), pages: self.pages.clone() }
    }
}

fn range(random: &mut Random) -> (usize, usize) {
    let area = AREAS[random.below(AREAS.len())];
    let first = random.below(AREA_PAGES);
    let count = 1 + random.below(AREA_PAGES - first);
    // Mostly short ones, so that regions are many.
    let count = if random.below(3) > 0 { 1 + count % 6 } else { count };
    (area + first * PAGE, count.min(AREA_PAGES - first))
}

fn anywhere(random: &mut Random) -> usize {
    AREAS[random.below(AREAS.len())] + random.below(AREA_PAGES) * PAGE
}

fn step(random: &mut Random, twins: &mut Vec<Twin>) {
    arch::switch(random.below(arch::SIMULATED));
    let chosen = random.below(twins.len());
    let (start, count) = range(random);
    let pages = (0..count).map(|page| start + page * PAGE);
    let alive = twins.len();
    let twin = &mut twins[chosen];
    match random.below(16) {
        0 | 1 => {
            let shared = random.below(3) == 0;
            let prot = linux::PROT_READ | linux::PROT_WRITE;
            let kind = if shared { linux::MAP_SHARED } else { linux::MAP_PRIVATE };
            let mapping = Mapping {
                hint: start,
                flags: kind | linux::MAP_ANONYMOUS | linux::MAP_FIXED,
                ..Mapping::anonymous(count * PAGE, prot)
            };
            assert_eq!(now(twin.space.map(mapping)), Ok(start));
            let common = Common::default();
            for (index, page) in pages.enumerate() {
                let contents =
                    if shared { Contents::Shared(common.clone(), index) } else { Contents::Private(0) };
                twin.pages.insert(page, Page { prot, contents });
            }
        }
        2 => {
            assert_eq!(now(twin.space.unmap(start, count * PAGE)), Ok(()));
            for page in pages {
                twin.pages.remove(&page);
            }
        }
        3 | 4 => {
            let prot =
                [linux::PROT_NONE, linux::PROT_READ, linux::PROT_READ | linux::PROT_WRITE][random.below(3)];
            let whole = pages.clone().all(|page| twin.pages.contains_key(&page));
            let outcome = now(twin.space.protect(start, count * PAGE, prot));
            assert_eq!(outcome.is_ok(), whole);
            // Up to the first hole it is done, on Linux, too.
            for page in pages {
                let Some(page) = twin.pages.get_mut(&page) else { break };
                page.prot = prot;
            }
        }
        5 => {
            let _ = now(twin.space.advise(start, count * PAGE, linux::MADV_DONTNEED));
            for page in pages {
                if let Some(Page { contents: Contents::Private(value), .. }) = twin.pages.get_mut(&page) {
                    *value = 0;
                }
            }
        }
        6 => {
            let one = now(twin.space.regions())
                .expect("memory")
                .iter()
                .find(|region| region.start <= start && region.end >= start + count * PAGE)
                .cloned();
            let target = 0x70_0000_0000 + random.below(600) * 64 * PAGE;
            if let Some(region) = one
                && now(twin.space.remap(
                    start,
                    count * PAGE,
                    count * PAGE,
                    linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED,
                    target,
                )) == Ok(target)
            {
                let new: Vec<_> = pages.clone().filter_map(|page| twin.pages.remove(&page)).collect();
                assert_eq!(new.len(), count, "{region:x?}", region = region.start);
                // And back to where the model looks.
                for (index, page) in new.iter().enumerate() {
                    if page.prot & linux::PROT_READ != 0 {
                        let value = match &page.contents {
                            Contents::Private(value) => *value,
                            Contents::Shared(common, at) => common.borrow().get(at).copied().unwrap_or(0),
                        };
                        assert_eq!(read(&twin.space, target + index * PAGE), Ok(value));
                    }
                }
                let flags = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED;
                assert_eq!(
                    now(twin.space.remap(target, count * PAGE, count * PAGE, flags, start)),
                    Ok(start)
                );
                twin.pages.extend(pages.zip(new));
            }
        }
        7 if alive < 6 => {
            let form = [Form::Shared, Form::Shared, Form::Serial][random.below(3)];
            let child = twin.fork(form);
            twins.push(child);
        }
        8 if alive > 1 => {
            twins.swap_remove(chosen);
        }
        _ => {
            for _ in 0..6 {
                let value = random.next();
                twin.store(anywhere(random), value);
            }
        }
    }
    for _ in 0..4 {
        arch::switch(random.below(arch::SIMULATED));
        twins[random.below(twins.len())].check(anywhere(random));
    }
}

fn storm(seed: u64, steps: usize, tagged: bool) {
    let _machine = machine();
    arch::TAGGED.store(tagged, std::sync::atomic::Ordering::Relaxed);
    // The zero page is made once and stays.
    drop(Twin { space: AddressSpace::new().expect("memory"), pages: BTreeMap::new() });
    let before = frame::statistics().free;
    let mut random = Random(seed);
    let mut twins = vec![Twin { space: AddressSpace::new().expect("memory"), pages: BTreeMap::new() }];
    for _ in 0..steps {
        step(&mut random, &mut twins);
    }
    for twin in &twins {
        for area in AREAS {
            (0..AREA_PAGES).for_each(|page| twin.check(area + page * PAGE));
        }
        assert!(twin.space.usage().resident <= AREAS.len() * AREA_PAGES * PAGE, "{:?}", twin.space);
    }
    drop(twins);
    let after = frame::statistics().free;
    assert!(before - after <= 1, "{} frames lost", before - after);
}

#[test]
fn random_operations() {
    for seed in 1..40 {
        storm(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed), 600, false);
    }
}

#[test]
fn random_operations_with_tagged_tlbs() {
    for seed in 1..40 {
        storm(0xd134_2543_de82_ef95u64.wrapping_mul(seed), 600, true);
    }
}

#[test]
fn a_space_on_one_cpu_disturbs_no_other() {
    let _machine = machine();
    arch::switch(0);
    let space = AddressSpace::new().expect("memory");
    let before = arch::SHOOTDOWNS.load(std::sync::atomic::Ordering::Relaxed);
    let start = now(space.map(Mapping::anonymous(64 * PAGE, 3))).expect("a place");
    (0..64).for_each(|page| write(&space, start + page * PAGE, 1).expect("mapped"));
    let child = now(space.fork(Form::Shared)).expect("memory");
    (0..64).for_each(|page| write(&space, start + page * PAGE, 2).expect("mapped"));
    assert_eq!(now(space.unmap(start, 64 * PAGE)), Ok(()));
    drop(child);
    assert_eq!(arch::SHOOTDOWNS.load(std::sync::atomic::Ordering::Relaxed), before);
}

#[test]
fn a_sole_owner_writes_without_copying() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let start = now(space.map(Mapping::anonymous(512 * PAGE, 3))).expect("a place");
    (0..512).for_each(|page| write(&space, start + page * PAGE, page as u64).expect("mapped"));
    for form in [Form::Shared, Form::Serial] {
        drop(now(space.fork(form)).expect("memory"));
        let before = frame::statistics().free;
        (0..512).for_each(|page| write(&space, start + page * PAGE, 7).expect("mapped"));
        assert_eq!(frame::statistics().free, before, "{form:?}");
    }
}

#[test]
fn who_goes_upwards_through_fresh_memory_gets_pages_in_advance() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let fixed = linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_FIXED;
    let start = 1 << 30;
    now(space.map(Mapping { hint: start, flags: fixed, ..Mapping::anonymous(64 * PAGE, 3) }))
        .expect("a place");
    let resident = || space.usage().resident / PAGE;
    let at = |page: usize| start + page * PAGE;
    // What is there already stays.
    assert_eq!(write(&space, at(40), 40), Ok(()));
    // Neither one page nor sixteen make a program that goes on and on; nor does reading.
    (0..16).for_each(|page| write(&space, at(page), 1).expect("mapped"));
    assert_eq!(read(&space, at(16)), Ok(0));
    assert_eq!(resident(), 17);
    // The page that was read is there, too: a frame of its own in its place is no fresh memory.
    assert_eq!(write(&space, at(16), 1), Ok(()));
    assert_eq!(resident(), 18);
    // This is, and sixteen more come with it.
    assert_eq!(write(&space, at(17), 1), Ok(()));
    assert_eq!(resident(), 18 + 17);
    assert!((18..34).all(|page| arch::translate(at(page), true).is_some()));
    assert!((18..34).all(|page| read(&space, at(page)) == Ok(0)));
    // Up to what is there.
    assert_eq!(write(&space, at(34), 1), Ok(()));
    assert_eq!(resident(), 41);
    assert_eq!(read(&space, at(40)), Ok(40));
    // Up to the end.
    (41..64).for_each(|page| write(&space, at(page), 1).expect("mapped"));
    assert_eq!(resident(), 64);
    assert_eq!(write(&space, at(64), 1), Err(FaultError::NotMapped));
}

#[test]
fn stacks_grow_to_their_limit_and_keep_their_gap() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let top = 0x7fff_0000_0000usize;
    let fixed = linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_FIXED;
    let stack =
        Mapping { hint: top - PAGE, flags: fixed | linux::MAP_GROWSDOWN, ..Mapping::anonymous(PAGE, 3) };
    now(space.map(stack)).expect("a place");
    space.set_limits(u64::MAX, u64::MAX, 1 << 20);
    assert_eq!(write(&space, top - (1 << 20), 1), Ok(()));
    assert_eq!(write(&space, top - (1 << 20) - PAGE, 1), Err(FaultError::NotMapped));
    space.set_limits(u64::MAX, u64::MAX, 8 << 20);
    let below = top - (4 << 20);
    now(space.map(Mapping { hint: below, flags: fixed, ..Mapping::anonymous(PAGE, 3) })).expect("a place");
    assert_eq!(write(&space, below + PAGE + (1 << 20), 1), Ok(()));
    assert_eq!(write(&space, below + (1 << 20), 1), Err(FaultError::NotMapped));
    // A program's own guard page is gap enough.
    now(space.protect(below, PAGE, 0)).expect("mapped");
    assert_eq!(write(&space, below + PAGE, 1), Ok(()));
}

#[test]
fn children_obey_advice_about_forks() {
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let start = now(space.map(Mapping::anonymous(3 * PAGE, 3))).expect("a place");
    (0..3).for_each(|page| write(&space, start + page * PAGE, 5).expect("mapped"));
    now(space.advise(start, PAGE, linux::MADV_DONTFORK)).expect("mapped");
    now(space.advise(start + PAGE, PAGE, linux::MADV_WIPEONFORK)).expect("mapped");
    for form in [Form::Shared, Form::Serial] {
        let child = now(space.fork(form)).expect("memory");
        assert_eq!(read(&child, start), Err(FaultError::NotMapped));
        assert_eq!(read(&child, start + PAGE), Ok(0));
        assert_eq!(read(&child, start + 2 * PAGE), Ok(5));
        assert_eq!(read(&space, start), Ok(5));
        assert_eq!(read(&space, start + PAGE), Ok(5));
    }
}

#[test]
fn memory_runs_out_with_an_error() {
    let _machine = machine();
    executor::host::block_on(1, async {
        // A CPU without chains of its own knows no reserve.
        arch::boot();
        exhaust();
    });
}

fn exhaust() {
    let space = AddressSpace::new().expect("memory");
    let before = frame::statistics();
    let pages = before.total - 16;
    let start = now(space.map(Mapping {
        flags: linux::MAP_PRIVATE | linux::MAP_ANONYMOUS | linux::MAP_NORESERVE,
        ..Mapping::anonymous(pages * PAGE, 3)
    }))
    .expect("a place");
    let first = (0..pages).find(|page| write(&space, start + page * PAGE, 1) == Err(FaultError::OutOfMemory));
    assert!(first.is_some(), "the reserve is kept");
    assert!(frame::statistics().free >= before.reserve / 2);
    assert!(now(space.fork(Form::Serial)).is_err());
    now(space.unmap(start, pages * PAGE)).expect("valid");
    drop(space);
    assert!(frame::statistics().free + 1 >= before.free);
    assert_eq!(
        Err(syscalls::Errno::ENOMEM),
        now(AddressSpace::new().expect("memory").map(Mapping::anonymous((before.total + 1) * PAGE, 3)))
    );
}

#[test]
fn errors_are_linux_s() {
    use syscalls::Errno;
    let _machine = machine();
    let space = AddressSpace::new().expect("memory");
    let page = Mapping::anonymous(PAGE, 3);
    let fixed = page.flags | linux::MAP_FIXED;
    let end = arch::layout::USER_END;
    let map = |mapping: Mapping| now(space.map(mapping));
    assert_eq!(map(Mapping { len: 0, ..page.clone() }), Err(Errno::EINVAL));
    assert_eq!(map(Mapping { len: usize::MAX, ..page.clone() }), Err(Errno::ENOMEM));
    assert_eq!(map(Mapping { flags: linux::MAP_ANONYMOUS, ..page.clone() }), Err(Errno::EINVAL));
    assert_eq!(map(Mapping { hint: 0x10001, flags: fixed, ..page.clone() }), Err(Errno::EINVAL));
    assert_eq!(map(Mapping { hint: end, flags: fixed, ..page.clone() }), Err(Errno::ENOMEM));
    assert_eq!(map(Mapping { hint: 0x1000, flags: fixed, ..page.clone() }), Err(Errno::EPERM));
    let place = map(page.clone()).expect("a place");
    let once = Mapping { hint: place, flags: page.flags | linux::MAP_FIXED_NOREPLACE, ..page.clone() };
    assert_eq!(map(once), Err(Errno::EEXIST));
    assert_eq!(now(space.unmap(place + 1, PAGE)), Err(Errno::EINVAL));
    assert_eq!(now(space.unmap(place, 0)), Err(Errno::EINVAL));
    assert_eq!(now(space.unmap(place, usize::MAX)), Err(Errno::EINVAL));
    assert_eq!(now(space.protect(place + 1, PAGE, 1)), Err(Errno::EINVAL));
    assert_eq!(now(space.protect(place, PAGE, 0x100)), Err(Errno::EINVAL));
    assert_eq!(now(space.protect(place, 64 * PAGE, 1)), Err(Errno::ENOMEM));
    assert_eq!(now(space.protect(place, usize::MAX - PAGE, 1)), Err(Errno::ENOMEM));
    assert_eq!(now(space.advise(place, PAGE, 12345)), Err(Errno::EINVAL));
    assert_eq!(now(space.advise(place, usize::MAX, linux::MADV_NORMAL)), Err(Errno::EINVAL));
    assert_eq!(now(space.advise(place, 1 << 30, linux::MADV_DONTNEED)), Err(Errno::ENOMEM));
    assert_eq!(now(space.remap(place, PAGE, 0, 1, 0)), Err(Errno::EINVAL));
    assert_eq!(now(space.remap(place, PAGE, PAGE, 2, 0)), Err(Errno::EINVAL));
    assert_eq!(now(space.remap(place - (1 << 30), PAGE, 2 * PAGE, 1, 0)), Err(Errno::EFAULT));
    assert_eq!(now(space.remap(place, PAGE, PAGE, 3, place)), Err(Errno::EINVAL));
    assert_eq!(now(space.sync(place, PAGE, 5)), Err(Errno::EINVAL));
    assert_eq!(now(space.presence(place..place + (1 << 40))), Err(Errno::ENOMEM));
    space.set_limits(space.usage().mapped as u64, u64::MAX, u64::MAX);
    assert_eq!(map(page.clone()), Err(Errno::ENOMEM));
    space.set_limits(u64::MAX, PAGE as u64 - 1, u64::MAX);
    assert_eq!(map(page.clone()), Err(Errno::ENOMEM));
    assert!(map(Mapping { prot: 1, ..page }).is_ok());
    let _ = (Backing::Anonymous, RegionFlags::empty());
}

#[test]
fn wild_arguments_do_no_harm() {
    let _machine = machine();
    let before = frame::statistics().free;
    let mut random = Random(0x1234_5678_9abc_def1);
    let space = AddressSpace::new().expect("memory");
    let mut wild = || {
        let small = random.below(64) * PAGE;
        match random.below(6) {
            0 => random.next() as usize,
            1 => usize::MAX - small,
            2 => arch::layout::USER_END - small,
            3 => small,
            4 => 0x7ffe_0000_0000 + small,
            _ => 0x7ffe_0000_0000 + small + random.below(PAGE),
        }
    };
    for round in 0..20000 {
        let (a, b, c) = (wild(), wild(), wild());
        let flags = wild() as u32 & !(linux::MAP_POPULATE | linux::MAP_LOCKED);
        match round % 9 {
            0 => drop(now(space.map(Mapping {
                hint: a,
                len: b,
                prot: c as u32,
                flags,
                ..Mapping::anonymous(0, 0)
            }))),
            1 => drop(now(space.unmap(a, b))),
            2 => drop(now(space.protect(a, b, c as u32 & 7))),
            3 => drop(now(space.remap(a, b, c, flags & 7, wild()))),
            4 => drop(now(space.advise(a, b % (1 << 24), flags % 26))),
            5 => drop(now(space.brk(a))),
            6 => {
                let start = a & !(PAGE - 1) & (usize::MAX >> 1);
                drop(now(space.presence(start..start + b % (1 << 30) / PAGE * PAGE)));
            }
            7 => drop(now(space.fault(a, Access::Write))),
            _ => drop(now(space.write_bytes(a, &[1; 100]))),
        }
    }
    drop(space);
    assert!(before - frame::statistics().free <= 1);
}

#[test]
fn no_cpu_walks_a_table_that_was_given_up() {
    let _machine = machine();
    arch::TAGGED.store(false, std::sync::atomic::Ordering::Relaxed);
    arch::switch(0);
    let parent = AddressSpace::new().expect("memory");
    let start = now(parent.map(Mapping::anonymous(64 * PAGE, 3))).expect("a place");
    (0..8).for_each(|page| write(&parent, start + page * PAGE, 1).expect("mapped"));
    let child = now(parent.fork(Form::Shared)).expect("memory");
    // CPU 1 learns which table the parent has.
    arch::switch(1);
    assert_eq!(read(&parent, start), Ok(1));
    // The parent's new page needs a table of its own; the old one is the child's alone now, who changes it in place.
    arch::switch(0);
    write(&parent, start + 20 * PAGE, 3).expect("mapped");
    arch::switch(2);
    write(&child, start + 2 * PAGE, 2).expect("mapped");
    arch::switch(1);
    assert_eq!(read(&parent, start + 2 * PAGE), Ok(1));
    assert_eq!(read(&parent, start + 20 * PAGE), Ok(3));
}

#[test]
fn a_cancelled_call_is_finished_by_whoever_comes_next() {
    let _machine = machine();
    let before = frame::statistics().free;
    let space = AddressSpace::new().expect("memory");
    let pages = 3 * 512;
    let mapping = Mapping::anonymous(pages * PAGE, 3);
    let start = now(space.map(mapping.clone())).expect("a place");
    for round in 0..10 {
        for page in (0..pages).step_by(7) {
            now(space.write_bytes(start + page * PAGE, &[7; 8])).expect("mapped");
        }
        arch::switch(1);
        space.activate();
        arch::switch(0);
        arch::SLOW.store(true, std::sync::atomic::Ordering::Relaxed);
        let poll = |future: std::pin::Pin<&mut dyn Future<Output = Result<(), syscalls::Errno>>>| {
            future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
        };
        let waiting = match round % 2 {
            0 => poll(pin!(space.unmap(start, pages * PAGE))),
            _ => poll(pin!(space.advise(start, pages * PAGE, linux::MADV_DONTNEED))),
        };
        arch::SLOW.store(false, std::sync::atomic::Ordering::Relaxed);
        assert!(waiting, "for the other CPU");
        assert!(space.usage().resident >= pages / 7 * PAGE, "nothing is freed yet");
        match round % 5 {
            0 => drop(now(space.fork(Form::Shared)).expect("memory")),
            1 => drop(now(space.fault(start, Access::Read))),
            2 => drop(now(space.protect(start, PAGE, 1))),
            _ => {}
        }
        let again = Mapping { hint: start, flags: mapping.flags | linux::MAP_FIXED, ..mapping.clone() };
        assert_eq!(now(space.map(again)), Ok(start));
        for page in 0..pages {
            let mut word = [1; 8];
            now(space.read_bytes(start + page * PAGE, &mut word)).expect("mapped");
            assert_eq!(word, [0; 8], "page {page} in round {round}");
        }
    }
    drop(space);
    assert!(before - frame::statistics().free <= 1);
}
