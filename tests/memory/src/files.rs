//! Objects that lose pages, and objects that keep them.

use crate::arch;
use crate::memory::frame::{self, Frame};
use crate::memory::{AddressSpace, Backing, FaultError, FileObject, Form, Identity, Mapping};
use crate::model::{machine, now, read, write};
use fs::{Copies, Op, Page, PageRun};
use linux_raw_sys::general as linux;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use syscalls::Errno;

const PAGE: usize = 4096;

/// A file that is all in memory; the first word of page N is N + 1.
struct File {
    pages: Mutex<Vec<Page>>,
    keeps: bool,
}

impl File {
    fn new(count: u64, keeps: bool) -> Arc<Self> {
        let page = |index: u64| {
            let page = Page::zeroed().expect("memory");
            page.write(0, &(index + 1).to_ne_bytes());
            page
        };
        Arc::new(File { pages: Mutex::new((0..count).map(page).collect()), keeps })
    }

    /// Owners of the page at `index`.
    fn owners(&self, index: usize) -> u64 {
        let page = self.pages.lock().expect("no panic")[index].clone();
        // SAFETY: the page's count is that of its frame; the handle gives nothing up.
        let frame = unsafe { Frame::from_physical((page.as_ptr().addr().get() - arch::memory()) as u64) };
        // Less the one that looks.
        ManuallyDrop::new(frame).owners() - 1
    }
}

impl FileObject for File {
    fn page(&self, index: u64, _write: bool) -> Op<'_, Result<Page, Errno>> {
        let pages = self.pages.lock().expect("no panic");
        Op::Ready(pages.get(index as usize).cloned().ok_or(Errno::EFAULT))
    }

    fn keeps_pages(&self) -> bool {
        self.keeps
    }

    fn pages_in_memory(&self, range: Range<u64>, each: &mut dyn FnMut(u64, PageRun<'_>)) {
        let pages = self.pages.lock().expect("no panic");
        let range = range.start as usize..(range.end as usize).min(pages.len());
        range.for_each(|index| PageRun::of_one(&pages[index], |run| each(index as u64, run)));
    }

    fn has(&self, index: u64) -> bool {
        index < self.pages.lock().expect("no panic").len() as u64
    }

    fn identity(&self) -> Identity {
        Identity::default()
    }
}

/// Maps all of a file; the address of its page N is N pages behind the result.
fn map(space: &AddressSpace, file: &Arc<File>, flags: u32) -> usize {
    let len = file.pages.lock().expect("no panic").len() * PAGE;
    let backing =
        Backing::File { object: file.clone(), offset: 0, readable: true, writable: true, executable: true };
    let mapping = Mapping { flags, backing, ..Mapping::anonymous(len, linux::PROT_READ | linux::PROT_WRITE) };
    now(space.map(mapping)).expect("a place")
}

#[test]
fn pages_that_a_file_loses_go_from_all_kin() {
    for copies in [Copies::Go, Copies::Stay] {
        let _machine = machine();
        let file = File::new(40, false);
        let object: Arc<dyn FileObject> = file.clone();
        let parent = AddressSpace::new().expect("memory");
        let kin = now(parent.kin());
        let (private, shared) =
            (map(&parent, &file, linux::MAP_PRIVATE), map(&parent, &file, linux::MAP_SHARED));
        for page in 0..40 {
            assert_eq!(read(&parent, private + page * PAGE), Ok(page as u64 + 1));
            assert_eq!(read(&parent, shared + page * PAGE), Ok(page as u64 + 1));
        }
        write(&parent, private + 35 * PAGE, 100).expect("mapped");
        let child = now(parent.fork(Form::Shared)).expect("memory");
        let grandchild = now(child.fork(Form::Serial)).expect("memory");
        arch::switch(1);
        write(&child, private + 36 * PAGE, 200).expect("mapped");
        write(&child, private + 5 * PAGE, 300).expect("mapped");
        file.pages.lock().expect("no panic").truncate(30);
        now(kin.lose(object, 30..u64::MAX, copies));
        let spaces =
            [(&parent, 0, [6, 100, 37]), (&child, 1, [300, 100, 200]), (&grandchild, 2, [6, 100, 37])];
        for (space, cpu, [early, of_parent, of_child]) in spaces {
            arch::switch(cpu);
            for page in [30, 33, 39] {
                assert_eq!(read(space, private + page * PAGE), Err(FaultError::Bus));
                assert_eq!(read(space, shared + page * PAGE), Err(FaultError::Bus));
            }
            assert_eq!(read(space, shared + 29 * PAGE), Ok(30));
            assert_eq!(read(space, private + 5 * PAGE), Ok(early));
            let copy = |value: u64, written: bool| match copies {
                Copies::Stay if written => Ok(value),
                _ => Err(FaultError::Bus),
            };
            assert_eq!(read(space, private + 35 * PAGE), copy(of_parent, true));
            assert_eq!(read(space, private + 36 * PAGE), copy(of_child, of_child == 200));
        }
    }
}

#[test]
fn kept_pages_are_shown_without_being_owned() {
    let _machine = machine();
    drop(AddressSpace::new());
    let before = frame::statistics().free;
    let file = File::new(600, true);
    let held = Arc::downgrade(&file);
    let parent = AddressSpace::new().expect("memory");
    let at = map(&parent, &file, linux::MAP_PRIVATE);
    (0..600).for_each(|page| assert_eq!(read(&parent, at + page * PAGE), Ok(page as u64 + 1)));
    assert_eq!(file.owners(7), 1);
    for form in [Form::Shared, Form::Serial] {
        let child = now(parent.fork(form)).expect("memory");
        write(&child, at + 7 * PAGE, 70).expect("mapped");
        write(&parent, at + 8 * PAGE, 80).expect("mapped");
        assert_eq!(read(&child, at + 7 * PAGE), Ok(70));
        assert_eq!(read(&parent, at + 7 * PAGE), Ok(8));
        assert_eq!(read(&child, at + 9 * PAGE), Ok(10));
        assert_eq!(file.owners(7), 1);
        assert_eq!(now(child.protect(at, 20 * PAGE, linux::PROT_READ)), Ok(()));
        assert_eq!(now(child.unmap(at, 9 * PAGE)), Ok(()));
        assert_eq!(read(&child, at + 9 * PAGE), Ok(10));
    }
    drop(file);
    assert_eq!(now(parent.unmap(at, 600 * PAGE)), Ok(()));
    // Other CPUs' TLBs may have had its pages until just now.
    assert_eq!(held.strong_count(), 1);
    drop(parent);
    assert_eq!(held.strong_count(), 0);
    assert_eq!(frame::statistics().free, before);
}

#[test]
fn pages_around_a_fault_are_shown_too() {
    let _machine = machine();
    let file = File::new(64, false);
    let space = AddressSpace::new().expect("memory");
    let at = map(&space, &file, linux::MAP_PRIVATE);
    // Aligned in the address space, not in the file.
    let around = at.next_multiple_of(16 * PAGE)..at.next_multiple_of(16 * PAGE) + 16 * PAGE;
    assert_eq!(read(&space, around.start + 3 * PAGE), Ok(((around.start - at) / PAGE) as u64 + 4));
    assert_eq!(space.usage().resident, 16 * PAGE);
    assert!(around.step_by(PAGE).all(|page| arch::translate(page, false).is_some()));
}
