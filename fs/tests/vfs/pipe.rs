//! Pipes: order, atomicity, ends and readiness.

use crate::common::{error, run, run_on};
use executor::sync::Events;
use fs::pipe::{ATOMIC, CAPACITY, Call, Pipe, ReadEnd, WriteEnd, pipe};
use fs::{PAGE_SIZE, Result, Sink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use syscalls::Errno;

fn write(pipe: &WriteEnd, mut data: &[u8]) -> Result<usize> {
    pipe.try_write(&mut data)
}

fn read(pipe: &ReadEnd, len: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    let count = pipe.try_read(&mut &mut buffer[..], Call::default())?;
    buffer.truncate(count);
    Ok(buffer)
}

#[test]
fn bytes_come_out_in_order_and_ends_end() {
    run(async {
        let (reader, writer) = pipe();
        assert_eq!(error(read(&reader, 10)), Errno::EAGAIN);
        assert_eq!(write(&writer, b"hello").unwrap(), 5);
        assert_eq!(write(&writer, b"").unwrap(), 0);
        assert_eq!(reader.len(), 5);
        assert_eq!(reader.reader().events(), Events::IN | Events::RDNORM);
        assert_eq!(read(&reader, 2).unwrap(), b"he");
        assert_eq!(read(&reader, 10).unwrap(), b"llo");
        assert_eq!(reader.reader().events(), Events::empty());
        write(&writer, b"last").unwrap();
        drop(writer);
        assert_eq!(reader.reader().events(), Events::IN | Events::RDNORM | Events::HUP);
        assert_eq!(read(&reader, 10).unwrap(), b"last");
        assert_eq!(read(&reader, 10).unwrap(), b"");
        let (reader, writer) = pipe();
        drop(reader);
        assert!(writer.writer().events().contains(Events::ERR));
        assert_eq!(error(write(&writer, b"x")), Errno::EPIPE);
    });
}

#[test]
fn small_writes_are_whole_and_large_ones_fill() {
    run(async {
        let (reader, writer) = pipe();
        assert_eq!(write(&writer, &vec![1; CAPACITY - 10]).unwrap(), CAPACITY - 10);
        assert_eq!(writer.writer().events(), Events::empty());
        assert_eq!(error(write(&writer, &[2; 11])), Errno::EAGAIN);
        assert_eq!(write(&writer, &[2; ATOMIC + 1]).unwrap(), 10);
        assert_eq!(error(write(&writer, &[2; ATOMIC + 1])), Errno::EAGAIN);
        assert_eq!(error(write(&writer, &[2])), Errno::EAGAIN);
        // Writable again when a small write certainly fits.
        read(&reader, ATOMIC - 1).unwrap();
        assert_eq!(writer.writer().events(), Events::empty());
        read(&reader, 1).unwrap();
        assert_eq!(writer.writer().events(), Events::OUT | Events::WRNORM);
        assert_eq!(write(&writer, &[3; ATOMIC]).unwrap(), ATOMIC);
        let rest = read(&reader, CAPACITY).unwrap();
        assert_eq!(rest.len(), CAPACITY);
        assert_eq!(rest[CAPACITY - ATOMIC - 1..CAPACITY - ATOMIC + 1], [2, 3]);
    });
}

/// Takes so many bytes, and stops.
struct Stopping {
    bytes: Vec<u8>,
    left: usize,
    want: usize,
}

impl Sink for Stopping {
    fn put(&mut self, data: &[u8]) -> usize {
        let len = data.len().min(self.left);
        self.bytes.extend(&data[..len]);
        (self.left, self.want) = (self.left - len, self.want - len);
        len
    }

    fn remaining(&self) -> usize {
        self.want
    }
}

#[test]
fn a_read_that_stops_goes_on_only_with_what_follows() {
    const STOP: usize = 5000;
    let content: Vec<u8> = (0..3 * PAGE_SIZE).map(|at| (at / 100) as u8).collect();
    run(async move {
        let (reader, writer) = pipe();
        let stop = |number| {
            let mut sink = Stopping { bytes: Vec::new(), left: STOP, want: content.len() };
            assert_eq!(reader.try_read(&mut sink, Call { number, so_far: 0 }).unwrap(), STOP);
            sink
        };
        let go_on = |sink: &mut Stopping, left, number| {
            sink.left = left;
            let call = Call { number, so_far: sink.bytes.len() };
            reader.try_read(sink, call)
        };
        let packet = [7; 10];
        for with_packet in [false, true] {
            // Nobody reads meanwhile; the second stop is before the last bytes, which are few.
            write(&writer, &content).unwrap();
            if with_packet {
                assert_eq!(writer.try_write_packets(&mut &packet[..]).unwrap(), packet.len());
            }
            let mut sink = stop(1);
            let nearly = content.len() - STOP - 100;
            assert_eq!(go_on(&mut sink, nearly, 1).unwrap(), nearly);
            assert_eq!(go_on(&mut sink, 50, 1).unwrap(), 0);
            sink.bytes.truncate(content.len() - 100);
            sink.want = 100;
            assert_eq!(go_on(&mut sink, 100, 1).unwrap(), 100);
            assert_eq!(sink.bytes, content);
            assert!(!with_packet || read(&reader, 100).unwrap() == packet);
        }
        // Another does, whether it has stopped or not, and so does who moves bytes on.
        for other in 0..3 {
            write(&writer, &content).unwrap();
            let mut sink = stop(1);
            match other {
                0 => drop(read(&reader, 1).unwrap()),
                1 => {
                    let mut others = Stopping { bytes: Vec::new(), left: STOP, want: content.len() };
                    reader.try_read(&mut others, Call { number: 2, so_far: 0 }).unwrap();
                }
                _ => reader.claim().unwrap().unwrap().consume(1),
            }
            assert_eq!(error(go_on(&mut sink, 1, 1)), Errno::EAGAIN);
            let rest = content.len() - STOP - if other == 1 { STOP } else { 1 };
            assert_eq!(read(&reader, content.len()).unwrap(), content[content.len() - rest..]);
        }
    });
}

#[test]
fn capacity_changes_keep_the_contents() {
    run(async {
        let (reader, writer) = pipe();
        let data: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        // Begin in the middle of a page, and wrap around.
        for round in 0..40 {
            write(&writer, &data[..3001]).unwrap();
            assert_eq!(read(&reader, 3001).unwrap(), &data[..3001], "{round}");
        }
        write(&writer, &data).unwrap();
        assert_eq!(error(writer.set_capacity(4 * PAGE_SIZE)), Errno::EBUSY);
        assert_eq!(writer.set_capacity(5 * PAGE_SIZE + 1).unwrap(), 8 * PAGE_SIZE);
        assert_eq!(writer.capacity(), 8 * PAGE_SIZE);
        assert_eq!(read(&reader, 5000).unwrap(), &data[..5000]);
        assert_eq!(write(&writer, &vec![7; 1 << 20]).unwrap(), 8 * PAGE_SIZE - 15_000);
        assert_eq!(writer.set_capacity(1 << 20).unwrap(), 1 << 20);
        assert_eq!(read(&reader, 15_000).unwrap(), &data[5000..]);
        assert_eq!(read(&reader, 1 << 20).unwrap(), vec![7; 8 * PAGE_SIZE - 15_000]);
        assert_eq!(writer.set_capacity(1).unwrap(), PAGE_SIZE);
        assert_eq!(write(&writer, &data).unwrap(), PAGE_SIZE);
        assert_eq!(read(&reader, 20_000).unwrap(), &data[..PAGE_SIZE]);
    });
}

#[test]
fn openers_of_a_fifo_wait_for_each_other() {
    run(async {
        let fifo = Pipe::new();
        let other = fifo.clone();
        let opener = executor::spawn(async move { other.open_read_with_writer().await });
        executor::yield_now().await;
        assert!(!opener.is_finished());
        // A writer that comes and goes lets the reader through.
        drop(fifo.open_write());
        let reader = opener.await.unwrap();
        assert!(reader.reader().events().contains(Events::HUP));
        let writer = fifo.open_write();
        assert!(!reader.reader().events().contains(Events::HUP));
        write(&writer, b"x").unwrap();
        assert_eq!(read(&reader, 1).unwrap(), b"x");
    });
}

/// Openers of both ends that leave at once: each pair meets, on threads of its own.
#[test]
fn openers_of_a_fifo_who_leave_at_once_have_met() {
    run_on(4, async {
        for _ in 0..5000 {
            let fifo = Pipe::new();
            let (one, other) = (fifo.clone(), fifo.clone());
            let reader = executor::spawn(async move { drop(one.open_read_with_writer().await) });
            let writer = executor::spawn(async move { drop(other.open_write_with_reader().await) });
            reader.await.unwrap();
            writer.await.unwrap();
            assert_eq!((fifo.readers(), fifo.writers()), (0, 0));
        }
    });
}

/// Two readers, three writers, on four threads: every record arrives whole and once, and nobody sleeps for ever.
#[test]
fn records_arrive_whole_and_once() {
    const RECORDS: u64 = 20_000;
    const WRITERS: u64 = 3;
    run_on(4, async {
        let (reader, writer) = pipe();
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        let sum = Arc::new(AtomicU64::new(0));
        let mut readers = Vec::new();
        for _ in 0..2 {
            let (reader, sum) = (reader.clone(), sum.clone());
            readers.push(executor::spawn(async move {
                loop {
                    // Whole records only: lengths of reads are multiples of theirs.
                    let mut buffer = [0; 16 * 64];
                    match reader.try_read(&mut &mut buffer[..], Call::default()) {
                        Ok(0) => return,
                        Ok(count) => {
                            assert_eq!(count % 16, 0);
                            for record in buffer[..count].chunks(16) {
                                let (a, b) = record.split_at(8);
                                assert_eq!(a, b);
                                sum.fetch_add(u64::from_le_bytes(a.try_into().unwrap()), Relaxed);
                            }
                        }
                        Err(Errno::EAGAIN) => drop(reader.reader().wait(Events::IN).await),
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
        drop(reader);
        let mut writers = Vec::new();
        for number in 0..WRITERS {
            let writer = writer.clone();
            writers.push(executor::spawn(async move {
                for record in 0..RECORDS {
                    let word = (record * WRITERS + number).to_le_bytes();
                    let data = [word, word].concat();
                    loop {
                        match writer.try_write(&mut &data[..]) {
                            Ok(count) => {
                                assert_eq!(count, 16);
                                break;
                            }
                            Err(Errno::EAGAIN) => drop(writer.writer().wait(Events::OUT).await),
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }));
        }
        drop(writer);
        for task in writers.into_iter().chain(readers) {
            task.await.unwrap();
        }
        let all = RECORDS * WRITERS;
        assert_eq!(sum.load(Relaxed), all * (all - 1) / 2);
    });
}

#[test]
fn who_finds_the_last_bytes_claimed_waits_until_they_are_given_back() {
    const ALL: Events = Events::IN.union(Events::RDNORM).union(Events::HUP);
    run(async {
        let (reader, writer) = pipe();
        write(&writer, b"last").unwrap();
        drop(writer);
        for consumed in [0, 3, 1] {
            let claim = reader.claim().unwrap().expect("bytes");
            assert_eq!(error(read(&reader, 10)), Errno::EAGAIN);
            assert_eq!(reader.reader().events(), Events::empty(), "whoever waits would go round");
            match consumed {
                0 => drop(claim),
                some => claim.consume(some),
            }
            assert!(reader.reader().events().contains(Events::HUP));
            assert_eq!(reader.reader().events() == ALL, !reader.is_empty());
        }
        assert_eq!(read(&reader, 10).unwrap(), b"");
    });
}
