//! The page cache, on disks that fail and hold things up where a test says.

use crate::common::{error, run, run_alone};
use fs::block::{BlockDevice, BlockInode, Direction};
use fs::host::{Image, RamDisk, Random, Trouble};
use fs::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use syscalls::Errno;

fn pattern(len: usize) -> Vec<u8> {
    let mut random = Random::new(len as u64);
    (0..len).map(|_| random.index(256) as u8).collect()
}

/// A disk of so many bytes with trouble before it, and its file.
fn disk(len: usize) -> (Arc<RamDisk>, Arc<Trouble>, Arc<BlockInode>) {
    let ram = RamDisk::new(pattern(len), 512);
    let trouble = Trouble::new(ram.clone());
    let inode = BlockInode::new(trouble.clone(), Device(1), 7);
    (ram, trouble, inode)
}

async fn read(inode: &BlockInode, offset: usize, len: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0xaa; len];
    let count = inode.read_at(offset as u64, &mut &mut buffer[..]).await?;
    buffer.truncate(count);
    Ok(buffer)
}

async fn write(inode: &BlockInode, offset: usize, mut data: &[u8]) -> Result<usize> {
    inode.write_at(Position::At(offset as u64), &mut data).await.map(|written| written.count)
}

/// Lets all other tasks of the one worker run until they wait.
async fn settle() {
    for _ in 0..50 {
        executor::yield_now().await;
    }
}

#[test]
fn reads_give_what_is_on_the_disk() {
    run(async {
        let (ram, _, inode) = disk(1_000_000 / 512 * 512);
        let contents = ram.contents();
        let mut random = Random::new(1);
        for _ in 0..500 {
            let (offset, len) = (random.index(contents.len() + 5000), random.index(70_000));
            let wanted = &contents[offset.min(contents.len())..(offset + len).min(contents.len())];
            assert_eq!(read(&inode, offset, len).await.unwrap(), wanted);
        }
        assert_eq!(error(inode.page(245, false).await), Errno::EFAULT);
        let last = inode.page(244, false).await.unwrap();
        assert_eq!(last.bytes()[..512], contents[244 * 4096..][..512]);
        let behind = contents.len() - 244 * 4096;
        assert!(last.bytes()[behind..].iter().all(|byte| *byte == 0), "zeros behind the end");
    });
}

#[test]
fn one_fills_and_others_wait() {
    run(async {
        let (ram, trouble, inode) = disk(1 << 20);
        trouble.close();
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let inode = inode.clone();
                executor::spawn(async move { read(&inode, 500_000, 10).await })
            })
            .collect();
        settle().await;
        assert_eq!((trouble.transfers(), trouble.held_up()), (1, 1));
        trouble.open();
        for reader in readers {
            assert_eq!(reader.await.unwrap().unwrap(), ram.contents()[500_000..500_010]);
        }
        assert_eq!(trouble.transfers(), 1);
    });
}

#[test]
fn who_waits_takes_over_from_who_is_dropped() {
    run(async {
        let (ram, trouble, inode) = disk(1 << 20);
        trouble.close();
        let [first, second] = [(), ()].map(|()| {
            let inode = inode.clone();
            executor::spawn(async move { read(&inode, 500_000, 10).await })
        });
        settle().await;
        first.cancel();
        assert!(first.await.is_err());
        settle().await;
        assert_eq!(trouble.transfers(), 2, "the second fills the page now");
        trouble.open();
        assert_eq!(second.await.unwrap().unwrap(), ram.contents()[500_000..500_010]);
    });
}

#[test]
fn a_fill_that_fails_leaves_no_page() {
    run(async {
        let (ram, trouble, inode) = disk(1 << 20);
        let bad = 40 * 4096 + 512;
        trouble.fail(Direction::Read, bad..bad + 512);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let inode = inode.clone();
                executor::spawn(async move { read(&inode, 40 * 4096, 10).await })
            })
            .collect();
        for reader in readers {
            assert_eq!(error(reader.await.unwrap()), Errno::EIO);
        }
        // Only the page with the bad sector is lost to who reads more.
        assert_eq!(read(&inode, 35 * 4096, 10 * 4096).await.unwrap(), ram.contents()[35 * 4096..40 * 4096]);
        assert_eq!(read(&inode, 41 * 4096, 4096).await.unwrap(), ram.contents()[41 * 4096..42 * 4096]);
        trouble.mend();
        assert_eq!(read(&inode, 40 * 4096, 10).await.unwrap(), ram.contents()[40 * 4096..40 * 4096 + 10]);
    });
}

#[test]
fn reading_in_order_reads_ahead() {
    run(async {
        let (ram, trouble, inode) = disk(4 << 20);
        let contents = ram.contents();
        for page in 0..1024 {
            assert_eq!(read(&inode, page * 4096, 4096).await.unwrap(), contents[page * 4096..][..4096]);
            if page == 100 {
                settle().await;
                let mut there = 0;
                inode.pages_in_memory(101..1024, &mut |_, run| there += run.iter().count());
                assert!(there >= 16, "only {there} pages ahead");
            }
        }
        assert!(trouble.transfers() < 40, "{} transfers for 1024 pages", trouble.transfers());
        // A reader here and there has nothing read ahead.
        let (_, trouble, inode) = disk(4 << 20);
        for page in [100, 700, 300, 900] {
            read(&inode, page * 4096, 4096).await.unwrap();
        }
        settle().await;
        assert_eq!(trouble.transfers(), 4);
        let mut there = 0;
        inode.pages_in_memory(0..1024, &mut |_, run| there += run.iter().count());
        assert_eq!(there, 4);
    });
}

/// Who touches the pages of a mapping in order waits for few transfers. Who touches one here and there gets those around it, until
/// that has been in vain often enough.
#[test]
fn mappings_read_ahead_and_around() {
    run(async {
        let in_memory = |inode: &BlockInode, range| {
            let mut there = 0;
            inode.pages_in_memory(range, &mut |_, run| there += run.iter().count());
            there
        };
        let (ram, trouble, inode) = disk(4 << 20);
        let contents = ram.contents();
        let mut index = 0;
        while index < 1024 {
            let page = inode.page(index, false).await.unwrap();
            assert_eq!(page.bytes()[..], contents[index as usize * 4096..][..4096]);
            settle().await;
            // As who shows a group of pages together, and so does not ask for each.
            let group = index / 16 * 16 + 16;
            index += 1;
            while index < group && in_memory(&inode, index..index + 1) == 1 {
                index += 1;
            }
        }
        assert!(trouble.transfers() < 40, "{} transfers for 1024 pages", trouble.transfers());

        let (ram, trouble, inode) = disk(32 << 20);
        let contents = ram.contents();
        for (number, index) in [500, 499, 511, 496].into_iter().enumerate() {
            let page = inode.page(index, false).await.unwrap();
            assert_eq!(page.bytes()[..], contents[index as usize * 4096..][..4096]);
            assert_eq!(trouble.transfers(), 1, "page {number}");
        }
        assert_eq!(in_memory(&inode, 0..8192), 16);
        for index in 40..200 {
            inode.page(index * 33, false).await.unwrap();
        }
        let before = trouble.transfers();
        inode.page(8000, false).await.unwrap();
        assert_eq!(trouble.transfers(), before + 1);
        assert_eq!(in_memory(&inode, 7984..8016), 1);
    });
}

/// Programs say what they will want, and what they want no more: that is what memory has then, but for what is not stored or in use.
#[test]
fn advice_is_taken() {
    run(async {
        let in_memory = |inode: &BlockInode| {
            let mut there = Vec::new();
            inode.pages_in_memory(0..1024, &mut |index, run| {
                there.extend(run.iter().map(|(at, _)| index + at as u64));
            });
            there
        };
        let (ram, trouble, inode) = disk(4 << 20);
        inode.read_ahead(8 * 4096 + 5..200 * 4096 + 5);
        while in_memory(&inode).len() < 193 {
            executor::yield_now().await;
        }
        assert_eq!(in_memory(&inode), (8..201).collect::<Vec<_>>());
        assert!(trouble.transfers() <= 4);
        // Whole pages only.
        inode.forget_pages(20 * 4096 + 1..100 * 4096 - 1).await;
        assert_eq!(in_memory(&inode), (8..21).chain(99..201).collect::<Vec<_>>());
        write(&inode, 10 * 4096, b"changed").await.unwrap();
        let used = inode.page(11, false).await.unwrap();
        inode.forget_pages(0..u64::MAX).await;
        assert_eq!(in_memory(&inode), [10, 11]);
        drop(used);
        inode.fsync(false).await.unwrap();
        inode.forget_pages(0..u64::MAX).await;
        assert_eq!(in_memory(&inode), []);
        assert_eq!(read(&inode, 10 * 4096, 7).await.unwrap(), b"changed");
        assert_eq!(ram.contents()[10 * 4096..][..7], *b"changed");
        // Behind the end there is nothing.
        inode.read_ahead(u64::MAX - 5..u64::MAX);
        inode.read_ahead(5 << 20..u64::MAX);
        settle().await;
        assert_eq!(in_memory(&inode), [10]);
    });
}

/// What has been read ahead is not read again when it is given up while more is read.
#[test]
fn what_was_read_ahead_can_be_given_up_at_once() {
    run(async {
        let (_, trouble, inode) = disk(1 << 20);
        // The pages are read one by one then.
        trouble.fail(Direction::Read, 12 * 4096..13 * 4096);
        trouble.close();
        inode.read_ahead(8 * 4096..16 * 4096);
        for _ in 8..11 {
            settle().await;
            trouble.pass();
        }
        settle().await;
        assert!(inode.has_page(10) && !inode.has_page(11));
        inode.forget_pages(9 * 4096..10 * 4096).await;
        trouble.open();
        settle().await;
        let mut there = Vec::new();
        inode.pages_in_memory(0..256, &mut |index, run| {
            there.extend(run.iter().map(|(at, _)| index + at as u64));
        });
        assert_eq!(there, [8, 10, 11, 13, 14, 15]);
    });
}

/// What is read ahead is given up for other readers; who wants it nevertheless reads it.
#[test]
fn streams_give_way() {
    run(async {
        let (ram, trouble, inode) = disk(8 << 20);
        for stream in 0..6 {
            // The page before makes the next one look read in order.
            read(&inode, stream * 300 * 4096 + 4096, 10).await.unwrap();
        }
        trouble.close();
        let readers: Vec<_> = (0..6)
            .map(|stream| {
                let inode = inode.clone();
                executor::spawn(async move { read(&inode, stream * 300 * 4096 + 2 * 4096, 4096).await })
            })
            .collect();
        settle().await;
        // Six that were asked for, and what four streams read ahead. Two streams have given way.
        assert_eq!(trouble.held_up(), 10);
        trouble.open();
        for (stream, reader) in readers.into_iter().enumerate() {
            let at = stream * 300 * 4096 + 2 * 4096;
            assert_eq!(reader.await.unwrap().unwrap(), ram.contents()[at..at + 4096]);
            assert_eq!(read(&inode, at + 4096, 4096).await.unwrap(), ram.contents()[at + 4096..at + 8192]);
        }
    });
}

#[test]
fn what_was_written_is_read_and_stored() {
    run(async {
        let (ram, trouble, inode) = disk(600_064);
        let mut model = ram.contents();
        let mut random = Random::new(2);
        for step in 0..400 {
            let offset = random.index(model.len());
            let data = pattern(random.index(if step % 10 == 0 { 50_000 } else { 5000 }) + 1);
            let fits = data.len().min(model.len() - offset);
            assert_eq!(write(&inode, offset, &data).await, Ok(fits));
            model[offset..offset + fits].copy_from_slice(&data[..fits]);
            let (offset, len) = (random.index(model.len()), random.index(20_000));
            let end = (offset + len).min(model.len());
            assert_eq!(read(&inode, offset, len).await.unwrap(), model[offset..end]);
            if step % 50 == 49 {
                inode.fsync(false).await.unwrap();
                assert!(ram.contents() == model, "fsync brings it to the disk");
            }
        }
        assert_eq!(trouble.flushes(), 8);
        assert_eq!(error(write(&inode, model.len(), b"x").await), Errno::ENOSPC);
        assert_eq!(write(&inode, model.len(), b"").await, Ok(0));
        assert_eq!(read(&inode, model.len(), 10).await.unwrap(), b"");
    });
}

#[test]
fn a_page_that_is_written_whole_is_not_read() {
    run(async {
        let (_, trouble, inode) = disk(1 << 20);
        write(&inode, 8192, &[1; 16384]).await.unwrap();
        assert_eq!(trouble.transfers(), 0);
        write(&inode, 100 * 4096 + 5, b"part").await.unwrap();
        assert_eq!(trouble.transfers(), 1);
        inode.fsync(false).await.unwrap();
        assert_eq!(trouble.transfers(), 3, "neighbours are stored together");
    });
}

/// A program's memory that is missing behind the first bytes.
struct Stopping<'a>(&'a [u8], usize);

impl Source for Stopping<'_> {
    fn take(&mut self, data: &mut [u8]) -> usize {
        let count = data.len().min(self.1);
        self.1 -= count;
        self.0.take(&mut data[..count])
    }

    fn remaining(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn a_source_that_stops_loses_nothing() {
    run(async {
        let (ram, _, inode) = disk(1 << 20);
        let data = [7; 8192];
        let written = inode.write_at(Position::At(4096), &mut Stopping(&data, 5000)).await.unwrap();
        assert_eq!(written.count, 5000);
        let contents = ram.contents();
        let now = read(&inode, 0, 16384).await.unwrap();
        assert_eq!(now[..4096], contents[..4096]);
        assert!(now[4096..9096].iter().all(|byte| *byte == 7));
        assert_eq!(now[9096..], contents[9096..16384]);
    });
}

#[test]
fn fsync_tells_once_what_could_not_be_stored() {
    run(async {
        let (ram, trouble, inode) = disk(1 << 20);
        trouble.fail(Direction::Write, 8192..8704);
        write(&inode, 4096, &[9; 16384]).await.unwrap();
        assert_eq!(error(inode.fsync(false).await), Errno::EIO);
        assert_eq!(inode.fsync(false).await, Ok(()));
        assert_eq!(read(&inode, 4096, 16384).await.unwrap(), [9; 16384]);
        trouble.mend();
        write(&inode, 8192, &[8; 4096]).await.unwrap();
        inode.fsync(false).await.unwrap();
        assert_eq!(ram.contents()[8192..12288], [8; 4096]);
        trouble.fail_flushes();
        assert_eq!(error(inode.fsync(false).await), Errno::EIO);
    });
}

/// A program that has mapped the disk.
#[derive(Default)]
struct Program {
    shown: Mutex<Vec<Page>>,
    lost: Mutex<Vec<std::ops::Range<u64>>>,
}

impl Mapping for Program {
    fn lose(self: Arc<Self>, pages: std::ops::Range<u64>, copies: Copies) -> Op<'static, ()> {
        assert_eq!(copies, Copies::Stay);
        self.lost.lock().unwrap().push(pages);
        self.shown.lock().unwrap().clear();
        Op::Ready(())
    }

    fn inode(&self) -> Arc<dyn Inode> {
        unreachable!("nobody asks for the disk")
    }
}

#[test]
fn mappings_write_into_the_file_and_lose_pages_that_are_stored() {
    run(async {
        let (ram, _, inode) = disk(1 << 20);
        let program = Arc::new(Program::default());
        let mappings = Mappings::of(inode.attributes());
        mappings.add(&program);
        let show = async |write| {
            let page = inode.page(3, write).await.unwrap();
            program.shown.lock().unwrap().push(page);
        };
        let poke = |offset, bytes: &[u8]| program.shown.lock().unwrap()[0].write(offset, bytes);
        show(true).await;
        poke(5, b"mapped");
        assert_eq!(read(&inode, 3 * 4096 + 5, 6).await.unwrap(), b"mapped");
        write(&inode, 3 * 4096 + 5, b"MAP").await.unwrap();
        assert_eq!(program.shown.lock().unwrap()[0].bytes()[5..11], *b"MAPped");
        inode.fsync(false).await.unwrap();
        assert_eq!(ram.contents()[3 * 4096 + 5..][..6], *b"MAPped");
        let lost = std::mem::take(&mut *program.lost.lock().unwrap());
        assert!(lost.len() == 1 && lost[0] == (3..4));
        // Clean, and mapped for reading only: nobody loses it.
        show(false).await;
        inode.fsync(false).await.unwrap();
        write(&inode, 3 * 4096, b"x").await.unwrap();
        inode.fsync(false).await.unwrap();
        assert!(program.lost.lock().unwrap().is_empty());
        show(true).await;
        poke(0, b"y");
        inode.fsync(false).await.unwrap();
        assert_eq!(ram.contents()[3 * 4096], b'y');
        assert_eq!(program.lost.lock().unwrap().len(), 1);
        // A page that is on its way to a program while it is stored stays dirty.
        let page = inode.page(3, true).await.unwrap();
        inode.fsync(false).await.unwrap();
        page.write(0, b"z");
        drop(page);
        inode.fsync(false).await.unwrap();
        assert_eq!(ram.contents()[3 * 4096], b'z');
    });
}

/// Writers on several CPUs, each with pages of its own among the others', while all else that a cache does goes on.
#[test]
fn nothing_is_lost_on_several_cpus() {
    const PAGES: usize = 64;
    const WRITERS: usize = 3;
    run_alone(4, async {
        let (ram, _, inode) = disk(PAGES * 4096);
        let steps = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (inode, steps) = (inode.clone(), steps.clone());
                executor::spawn(async move {
                    let mut random = Random::new(writer as u64);
                    let mut model = [0u8; PAGES];
                    for page in (writer..PAGES).step_by(WRITERS) {
                        write(&inode, page * 4096, &[0; 4096]).await.unwrap();
                    }
                    for step in 0..3000 {
                        let page = random.index(PAGES / WRITERS) * WRITERS + writer;
                        assert_eq!(
                            read(&inode, page * 4096 + 100, 1).await.unwrap(),
                            [model[page]],
                            "{step}"
                        );
                        model[page] = random.index(256) as u8;
                        match step % 3 {
                            0 => drop(write(&inode, page * 4096, &[model[page]; 4096]).await.unwrap()),
                            1 => drop(write(&inode, page * 4096 + 100, &[model[page]]).await.unwrap()),
                            _ => inode.page(page as u64, true).await.unwrap().write(100, &[model[page]]),
                        }
                        steps.fetch_add(1, Relaxed);
                    }
                    model
                })
            })
            .collect();
        while steps.load(Relaxed) < 3000 * WRITERS as u64 {
            cache::shrink(10).await;
            inode.fsync(false).await.unwrap();
            executor::yield_now().await;
        }
        let mut wanted = [0; PAGES];
        for writer in writers {
            wanted.iter_mut().zip(writer.await.unwrap()).for_each(|(all, own)| *all |= own);
        }
        inode.fsync(false).await.unwrap();
        let contents = ram.contents();
        for (page, wanted) in wanted.iter().enumerate() {
            assert_eq!(contents[page * 4096 + 100], *wanted, "page {page}");
        }
    });
}

#[test]
fn an_image_in_a_file_is_a_disk() {
    let path = std::env::temp_dir().join(format!("rusk-fs-image-{}", std::process::id()));
    std::fs::write(&path, pattern(100_000)).unwrap();
    let image = Image::open(&path, false).unwrap();
    let read_only = Image::open(&path, true).unwrap();
    run(async move {
        let inode = BlockInode::new(image.clone(), Device(1), 7);
        assert_eq!(image.size(), 100_000 / 512 * 512);
        assert_eq!(read(&inode, 99_000, 5000).await.unwrap(), pattern(100_000)[99_000..99_840]);
        write(&inode, 99_000, b"written").await.unwrap();
        inode.fsync(false).await.unwrap();
        let inode = BlockInode::new(read_only, Device(1), 8);
        assert_eq!(read(&inode, 99_000, 7).await.unwrap(), b"written");
        assert_eq!(error(write(&inode, 0, b"x").await), Errno::EPERM);
        assert_eq!(error(inode.page(0, true).await), Errno::EACCES);
    });
    std::fs::remove_file(path).unwrap();
}
