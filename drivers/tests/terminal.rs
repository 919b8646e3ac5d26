//! What a terminal is beyond its line discipline: who may use it, who waits for what, and how it goes away.

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use drivers::tty::{
    Caller, LocalFlags, Master, OpenAs, OpenTty, PacketStatus, Payload, PtyTable, Signal, Special, Termios,
    Transfer, WindowSize,
};
use executor::sync::Events;
use executor::{host, sleep, spawn, yield_now};
use linux_raw_sys::ioctl;
use support::{Jobs, STRANGER, caller, counted};
use syscalls::Errno;

struct Pty {
    jobs: &'static Jobs,
    table: Arc<PtyTable>,
    master: Master,
    slave: OpenTty,
}

/// A leader of session 1 in group 1.
const SHELL: Caller = caller(1, 1);
/// A process of another group of session 1.
const JOB: Caller = caller(20, 20);

/// A pair that controls session 1, with group 1 in the foreground and group 20 in the background.
fn pty() -> Pty {
    let jobs = Jobs::new();
    jobs.groups.lock().unwrap().extend([(1, 1), (20, 1), (50, 50)]);
    let table = PtyTable::new(jobs);
    let master = table.open_master().expect("a pair");
    let mut payload = [0; _];
    master.control(&STRANGER, ioctl::TIOCSPTLCK, 0, &mut payload).expect("unlock");
    let slave = master.open_slave(OpenAs::default()).expect("open");
    slave.acquire(&Caller { has_terminal: false, ..SHELL }, false).expect("acquire");
    Pty { jobs, table, master, slave }
}

fn raw(minimum: u8, tenths: u8) -> Termios {
    let mut termios = Termios::PTY;
    termios.local.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
    termios.characters[Special::Minimum as usize] = minimum;
    termios.characters[Special::Time as usize] = tenths;
    termios
}

/// An ioctl that must be done at once.
fn control(
    file: &OpenTty,
    who: &Caller,
    request: u32,
    argument: usize,
    payload: &mut Payload,
) -> Result<(), Errno> {
    match pin!(file.control(who, request, argument, payload)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("ioctl {request:#x} waits"),
    }
}

fn control_int(file: &OpenTty, who: &Caller, request: u32, value: i32) -> Result<i32, Errno> {
    let mut payload = [0; _];
    payload[..4].copy_from_slice(&value.to_ne_bytes());
    control(file, who, request, value as usize, &mut payload)?;
    Ok(i32::from_ne_bytes(payload[..4].try_into().unwrap()))
}

async fn read(file: &OpenTty, who: &Caller, wanted: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let count = file
        .read(who, wanted, &mut |run| {
            bytes.extend_from_slice(run);
            run.len()
        })
        .await?;
    assert_eq!(count, bytes.len());
    Ok(bytes)
}

fn read_master(master: &Master) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; 4096];
    let count = master.try_read(&mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

#[test]
fn the_keyboard_signals_the_foreground_group() {
    let pty = pty();
    pty.master.try_write(b"abc\x03\x1c\x1a").unwrap();
    assert_eq!(pty.jobs.take_sent(), [(1, Signal::Interrupt), (1, Signal::Quit), (1, Signal::Stop)]);
    pty.slave.set_foreground(&SHELL, 20).unwrap();
    pty.master.try_write(b"\x03").unwrap();
    assert_eq!(pty.jobs.take_sent(), [(20, Signal::Interrupt)]);
    control_int(&pty.slave, &STRANGER, ioctl::TIOCNOTTY, 0).unwrap_err();
    pty.master.control(&STRANGER, ioctl::TIOCSIG, 3, &mut [0; _]).unwrap();
    assert_eq!(pty.jobs.take_sent(), [(20, Signal::Quit)]);
    assert_eq!(pty.master.control(&STRANGER, ioctl::TIOCSIG, 9, &mut [0; _]), Err(Errno::EINVAL));
}

#[test]
fn background_reads_stop_or_fail() {
    let pty = pty();
    pty.master.try_write(b"line\n").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(pty.slave.try_read(&JOB, &mut buffer), Err(Errno::ERESTARTSYS));
    assert_eq!(pty.jobs.take_sent(), [(20, Signal::BackgroundRead)]);
    pty.jobs.ignoring.lock().unwrap().push((20, Signal::BackgroundRead));
    assert_eq!(pty.slave.try_read(&JOB, &mut buffer), Err(Errno::EIO));
    pty.jobs.ignoring.lock().unwrap().clear();
    pty.jobs.orphaned.lock().unwrap().push(20);
    assert_eq!(pty.slave.try_read(&JOB, &mut buffer), Err(Errno::EIO));
    assert_eq!(pty.jobs.take_sent(), []);
    // A process of another session is not under this terminal's job control.
    assert_eq!(pty.slave.try_read(&STRANGER, &mut buffer), Ok(5));
}

#[test]
fn background_writes_stop_only_under_tostop() {
    let pty = pty();
    assert_eq!(pty.slave.try_write(&JOB, b"free"), Ok(4));
    let mut termios = Termios::PTY;
    termios.local |= LocalFlags::TOSTOP;
    pty.slave.tty().set_termios(termios);
    assert_eq!(pty.slave.try_write(&JOB, b"stopped"), Err(Errno::ERESTARTSYS));
    assert_eq!(pty.jobs.take_sent(), [(20, Signal::BackgroundWrite)]);
    pty.jobs.ignoring.lock().unwrap().push((20, Signal::BackgroundWrite));
    assert_eq!(pty.slave.try_write(&JOB, b"!"), Ok(1));
    pty.jobs.ignoring.lock().unwrap().clear();
    pty.jobs.orphaned.lock().unwrap().push(20);
    assert_eq!(pty.slave.try_write(&JOB, b"orphan"), Err(Errno::EIO));
    // Changing settings always counts, TOSTOP or not.
    assert_eq!(control_int(&pty.slave, &JOB, ioctl::TCFLSH, 0), Err(Errno::EIO));
}

#[test]
fn foreground_changes_follow_the_rules() {
    let pty = pty();
    let set = |who: &Caller, group| control_int(&pty.slave, who, ioctl::TIOCSPGRP, group).map(|_| ());
    assert_eq!(set(&STRANGER, 1), Err(Errno::ENOTTY));
    assert_eq!(set(&SHELL, -1), Err(Errno::EINVAL));
    assert_eq!(set(&SHELL, 77), Err(Errno::ESRCH));
    assert_eq!(set(&SHELL, 50), Err(Errno::EPERM));
    assert_eq!(set(&JOB, 20), Err(Errno::ERESTARTSYS));
    assert_eq!(pty.jobs.take_sent(), [(20, Signal::BackgroundWrite)]);
    assert_eq!(set(&SHELL, 20), Ok(()));
    assert_eq!(control_int(&pty.slave, &JOB, ioctl::TIOCGPGRP, 0), Ok(20));
    assert_eq!(control_int(&pty.slave, &STRANGER, ioctl::TIOCGPGRP, 0), Err(Errno::ENOTTY));
    assert_eq!(control_int(&pty.slave, &JOB, ioctl::TIOCGSID, 0), Ok(1));
    // Now the shell is in the background; orphaned, it is told that this is no terminal of its.
    pty.jobs.orphaned.lock().unwrap().push(1);
    assert_eq!(set(&SHELL, 1), Err(Errno::ENOTTY));
}

#[test]
fn a_terminal_belongs_to_one_session() {
    let pty = pty();
    assert_eq!(pty.jobs.terminals.lock().unwrap().keys().copied().collect::<Vec<_>>(), [1]);
    let other =
        Caller { thread: 50, process: 50, group: 50, session: 50, has_terminal: false, is_admin: false };
    assert_eq!(pty.slave.acquire(&other, true), Err(Errno::EPERM));
    assert_eq!(pty.slave.acquire(&Caller { process: 51, ..other }, true), Err(Errno::EPERM));
    assert_eq!(pty.slave.acquire(&SHELL, false), Ok(()));
    let admin = Caller { is_admin: true, ..other };
    assert_eq!(pty.slave.acquire(&admin, false), Err(Errno::EPERM));
    assert_eq!(pty.slave.acquire(&admin, true), Ok(()));
    assert_eq!(pty.jobs.terminals.lock().unwrap().keys().copied().collect::<Vec<_>>(), [50]);
    assert_eq!((pty.slave.tty().session(), pty.slave.tty().foreground()), (50, 50));
    // Given up by its leader, it is free for the next who opens it.
    let leader = Caller { has_terminal: true, ..other };
    assert_eq!(pty.slave.release(&leader), Ok(()));
    assert_eq!(pty.jobs.take_sent(), [(50, Signal::Hangup), (50, Signal::Continue)]);
    pty.slave.acquire_on_open(&Caller { has_terminal: false, ..SHELL }, true);
    assert_eq!(pty.slave.tty().session(), 1);
    // One of the session's others gives it up only for itself.
    assert_eq!(pty.slave.release(&JOB), Ok(()));
    assert_eq!(*pty.jobs.left.lock().unwrap(), [20]);
    assert_eq!(pty.slave.tty().session(), 1);
}

#[test]
fn window_changes_are_told_once() {
    let pty = pty();
    let size = WindowSize { rows: 50, columns: 132, width: 0, height: 0 };
    let mut payload = [0; _];
    let bytes: &mut Payload = &mut payload;
    bytes[..8].copy_from_slice(&size.to_bytes());
    pty.master.control(&STRANGER, ioctl::TIOCSWINSZ, 0, bytes).unwrap();
    control(&pty.slave, &SHELL, ioctl::TIOCSWINSZ, 0, bytes).unwrap();
    assert_eq!(pty.jobs.take_sent(), [(1, Signal::WindowChange)]);
    assert_eq!(pty.slave.tty().window(), size);
}

#[test]
fn closing_the_master_hangs_up() {
    host::block_on(2, async {
        let Pty { jobs, table, master, slave } = pty();
        assert_eq!(table.indices(), [0]);
        let slave = Arc::new(slave);
        let blocked = slave.clone();
        let reader = spawn(async move { read(&blocked, &SHELL, 10).await });
        sleep(Duration::from_millis(5)).await;
        drop(master);
        assert_eq!(reader.await.unwrap(), Err(Errno::EIO));
        assert_eq!(jobs.take_sent(), [(-1, Signal::Hangup), (-1, Signal::Continue)]);
        assert_eq!(*jobs.lost.lock().unwrap(), [(1, 1)]);
        assert!(jobs.terminals.lock().unwrap().is_empty());
        assert_eq!(read(&slave, &STRANGER, 10).await, Ok(vec![]));
        assert_eq!(slave.try_write(&STRANGER, b"x"), Err(Errno::EIO));
        assert_eq!(control_int(&slave, &STRANGER, ioctl::FIONREAD, 0), Err(Errno::EIO));
        assert_eq!(control_int(&slave, &STRANGER, ioctl::TIOCSPGRP, 1), Err(Errno::ENOTTY));
        assert!(slave.events().contains(Events::HUP | Events::ERR | Events::IN | Events::OUT));
        assert!(table.indices().is_empty() && table.slave(0).is_none());
        assert_eq!(slave.tty().open(OpenAs::default()).err(), Some(Errno::EIO));
        // The number stays taken until the slave is closed, too, and its name is gone.
        assert_eq!(table.next_closed().await, 0);
        table.name_removed(0);
        assert_eq!(table.open_master().unwrap().index(), 1);
        drop(slave);
        let reopened = table.open_master().unwrap();
        assert_eq!(reopened.index(), 0);
        assert_eq!(table.next_closed().await, 1);
        drop(reopened);
        assert_eq!(table.open_master().unwrap().index(), 2);
    });
}

#[test]
fn closing_the_slave_is_an_error_for_the_master_until_it_is_open_again() {
    let Pty { master, slave, .. } = pty();
    slave.try_write(&STRANGER, b"last words").unwrap();
    drop(slave);
    assert!(master.events().contains(Events::HUP | Events::IN));
    assert_eq!(read_master(&master).unwrap(), b"last words");
    assert_eq!(read_master(&master), Err(Errno::EIO));
    let slave = master.open_slave(OpenAs::default()).unwrap();
    assert_eq!(read_master(&master), Err(Errno::EAGAIN));
    assert!(!master.events().contains(Events::HUP));
    // A master whose slave was never opened just waits.
    drop(slave);
    let fresh = PtyTable::new(Jobs::new()).open_master().unwrap();
    assert_eq!(read_master(&fresh), Err(Errno::EAGAIN));
    assert_eq!(fresh.open_slave(OpenAs::default()).err(), Some(Errno::EIO), "locked");
}

#[test]
fn a_hangup_spares_the_console() {
    let Pty { jobs, master: _master, slave, .. } = pty();
    let tty = slave.tty().clone();
    let console = tty.open(OpenAs { console: true, admin: false }).unwrap();
    tty.leave_session(2, true);
    assert!(!slave.is_hung_up());
    tty.hang_up();
    assert!(slave.is_hung_up() && !console.is_hung_up());
    assert_eq!(jobs.take_sent(), [(-1, Signal::Hangup), (-1, Signal::Continue)]);
    assert_eq!(console.try_write(&STRANGER, b"still here"), Ok(10));
    let fresh = tty.open(OpenAs::default()).unwrap();
    assert_eq!(fresh.try_write(&STRANGER, b"new"), Ok(3));
    assert!(!fresh.events().contains(Events::HUP));
}

#[test]
fn exclusive_use_keeps_others_out() {
    let Pty { master: _master, slave, .. } = pty();
    control_int(&slave, &SHELL, ioctl::TIOCEXCL, 0).unwrap();
    assert_eq!(control_int(&slave, &SHELL, ioctl::TIOCGEXCL, 0), Ok(1));
    assert_eq!(slave.tty().open(OpenAs::default()).err(), Some(Errno::EBUSY));
    assert!(slave.tty().open(OpenAs { console: false, admin: true }).is_ok());
    control_int(&slave, &SHELL, ioctl::TIOCNXCL, 0).unwrap();
    assert!(slave.tty().open(OpenAs::default()).is_ok());
}

/// Types `bytes` one by one with pauses.
fn type_slowly(master: Arc<Master>, bytes: &'static [u8], pause: Duration) {
    spawn(async move {
        for byte in bytes {
            sleep(pause).await;
            master.try_write(&[*byte]).expect("room");
        }
    })
    .detach();
}

#[test]
fn vmin_and_vtime_time_reads() {
    host::block_on(2, async {
        let Pty { master, slave, .. } = pty();
        let master = Arc::new(master);
        let tty = slave.tty().clone();
        let pause = Duration::from_millis(20);

        // MIN > 0, TIME = 0: waits for all, however long it takes.
        tty.set_termios(raw(4, 0));
        type_slowly(master.clone(), b"abcd", pause);
        assert_eq!(read(&slave, &SHELL, 100).await.unwrap(), b"abcd");
        // Never for more than asked.
        type_slowly(master.clone(), b"ab", pause);
        assert_eq!(read(&slave, &SHELL, 2).await.unwrap(), b"ab");

        // MIN = 0, TIME = 0: returns at once.
        tty.set_termios(raw(0, 0));
        assert_eq!(read(&slave, &SHELL, 100).await.unwrap(), b"");
        master.try_write(b"x").unwrap();
        assert_eq!(read(&slave, &SHELL, 100).await.unwrap(), b"x");

        // MIN = 0, TIME > 0: waits that long for anything.
        tty.set_termios(raw(0, 1));
        let started = Instant::now();
        assert_eq!(read(&slave, &SHELL, 100).await.unwrap(), b"");
        assert!(started.elapsed() >= Duration::from_millis(100));
        type_slowly(master.clone(), b"y", pause);
        assert_eq!(read(&slave, &SHELL, 100).await.unwrap(), b"y");

        // MIN > 0, TIME > 0: waits for the first byte without limit, then between bytes.
        tty.set_termios(raw(5, 1));
        let started = Instant::now();
        type_slowly(master.clone(), b"z", Duration::from_millis(150));
        assert_eq!(read(&slave, &SHELL, 100).await.unwrap(), b"z");
        assert!(started.elapsed() >= Duration::from_millis(250));
        assert_eq!(slave.try_read(&SHELL, &mut [0; 4]), Err(Errno::EAGAIN));
    });
}

#[test]
fn poll_waits_for_vmin() {
    let Pty { master, slave, .. } = pty();
    slave.tty().set_termios(raw(3, 0));
    master.try_write(b"ab").unwrap();
    assert!(!slave.events().contains(Events::IN));
    master.try_write(b"c").unwrap();
    assert!(slave.events().contains(Events::IN | Events::RDNORM));
    slave.tty().set_termios(raw(9, 1));
    assert!(slave.events().contains(Events::IN));
}

#[test]
fn a_long_write_stays_in_one_piece() {
    host::block_on(2, async {
        let Pty { master, slave, .. } = pty();
        let mut termios = raw(1, 0);
        termios.output = drivers::tty::OutputFlags::empty();
        slave.tty().set_termios(termios);
        let slave = Arc::new(slave);
        let length = 100_000;
        for letter in [b'a', b'b', b'c'] {
            let slave = slave.clone();
            spawn(async move {
                let mut writing = slave.begin_write(&SHELL).await.expect("a turn");
                writing.put(&vec![letter; length]).await.expect("written");
            })
            .detach();
        }
        let mut all = Vec::new();
        while all.len() < 3 * length {
            match read_master(&master) {
                Ok(bytes) => all.extend(bytes),
                Err(Errno::EAGAIN) => {
                    master.readiness().wait(Events::IN).await;
                }
                Err(other) => panic!("{other}"),
            }
        }
        let runs: Vec<usize> = all.chunk_by(|left, right| left == right).map(<[u8]>::len).collect();
        assert_eq!(runs, [length; 3]);
        while !slave.events().contains(Events::OUT) {
            yield_now().await;
        }
    });
}

#[test]
fn a_cancelled_write_gives_its_turn_up() {
    host::block_on(1, async {
        let Pty { master, slave, .. } = pty();
        let slave = Arc::new(slave);
        let stuck = slave.clone();
        let writer = spawn(async move {
            let mut writing = stuck.begin_write(&SHELL).await.expect("a turn");
            writing.put(&[b'x'; 100_000]).await
        });
        while slave.events().contains(Events::OUT) {
            yield_now().await;
        }
        assert_eq!(slave.try_write(&SHELL, b"y"), Err(Errno::EAGAIN));
        writer.cancel();
        assert!(writer.await.is_err());
        while read_master(&master).is_ok() {}
        assert_eq!(slave.try_write(&SHELL, b"y"), Ok(1));
    });
}

#[test]
fn who_waits_does_not_run() {
    host::block_on(1, async {
        let Pty { master, slave, .. } = pty();
        let slave = Arc::new(slave);
        let (in_write, in_read) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (writer, reader) = (slave.clone(), slave.clone());
        spawn(counted(async move { read(&reader, &SHELL, 10).await }, in_read.clone())).detach();
        let turn = slave.begin_write(&SHELL).await.expect("a turn");
        let waiting = async move { writer.begin_write(&SHELL).await.map(drop) };
        let waiting = spawn(counted(waiting, in_write.clone()));
        for _ in 0..500 {
            assert_eq!(slave.try_write(&SHELL, b"x"), Err(Errno::EAGAIN));
            let _ = read_master(&master);
            yield_now().await;
        }
        assert!(in_write.load(Ordering::Relaxed) <= 3, "{in_write:?} polls");
        assert!(in_read.load(Ordering::Relaxed) <= 3, "{in_read:?} polls");
        drop(turn);
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn stopped_output_blocks_writers_until_it_is_restarted() {
    let Pty { master, slave, .. } = pty();
    master.try_write(b"\x13").unwrap();
    assert!(!slave.events().contains(Events::OUT));
    assert_eq!(slave.try_write(&SHELL, b"x"), Err(Errno::EAGAIN));
    master.try_write(b"\x11").unwrap();
    assert!(slave.events().contains(Events::OUT));
    assert_eq!(slave.try_write(&SHELL, b"x"), Ok(1));
}

#[test]
fn packet_mode_tells_what_happens_to_the_slave() {
    let Pty { master, slave, .. } = pty();
    let mut payload = [0; _];
    let on: &mut Payload = &mut payload;
    on[0] = 1;
    master.control(&STRANGER, ioctl::TIOCPKT, 0, on).unwrap();
    slave.try_write(&SHELL, b"data").unwrap();
    assert_eq!(read_master(&master).unwrap(), b"\0data");
    control_int(&slave, &SHELL, ioctl::TCXONC, 0).unwrap();
    assert!(master.events().contains(Events::PRI | Events::IN));
    assert_eq!(read_master(&master).unwrap(), [PacketStatus::STOP.bits()]);
    control_int(&slave, &SHELL, ioctl::TCXONC, 1).unwrap();
    control_int(&slave, &SHELL, ioctl::TCFLSH, 2).unwrap();
    let told = PacketStatus::START | PacketStatus::FLUSH_READ | PacketStatus::FLUSH_WRITE;
    assert_eq!(read_master(&master).unwrap(), [told.bits()]);
    assert_eq!(read_master(&master), Err(Errno::EAGAIN));
}

#[test]
fn settings_go_through_every_layout() {
    let Pty { master: _master, slave, .. } = pty();
    for (get, set) in [
        (ioctl::TCGETS, ioctl::TCSETS),
        (ioctl::TCGETS, ioctl::TCSETSW),
        (ioctl::TCGETS2, ioctl::TCSETSF2),
        (ioctl::TCGETA, ioctl::TCSETAW),
    ] {
        let Some(Transfer::Out(size)) = Transfer::of(get) else { panic!("{get:#x} reads settings") };
        assert_eq!(Transfer::of(set), Some(Transfer::In(size)));
        let mut payload: Payload = [0; _];
        control(&slave, &SHELL, get, 0, &mut payload).unwrap();
        // The lowest bit of c_iflag is IGNBRK in all of them.
        payload[0] ^= 1;
        control(&slave, &SHELL, set, 0, &mut payload).unwrap();
        let mut again: Payload = [0; _];
        control(&slave, &SHELL, get, 0, &mut again).unwrap();
        assert_eq!(payload, again);
    }
    // EXTPROC and a seven-bit pseudo-terminal are not to be had.
    let mut termios = Termios::PTY;
    termios.local |= LocalFlags::EXTPROC;
    termios.control = drivers::tty::ControlFlags::from_bits_retain(0);
    slave.tty().set_termios(termios);
    assert!(!slave.tty().termios().has_local(LocalFlags::EXTPROC));
    assert!(slave.tty().termios().control.contains(drivers::tty::ControlFlags::CS8));
}

#[test]
fn unknown_requests_and_wires_only_are_refused() {
    let Pty { master, slave, .. } = pty();
    for request in [0, 0x5400, ioctl::TIOCMGET, ioctl::TIOCSBRK, ioctl::TIOCGPTN, u32::MAX] {
        assert_eq!(control_int(&slave, &SHELL, request, 0), Err(Errno::ENOTTY), "{request:#x}");
    }
    assert_eq!(control_int(&slave, &SHELL, ioctl::TIOCSTI, 0), Err(Errno::EIO));
    assert_eq!(control_int(&slave, &SHELL, ioctl::TCFLSH, 7), Err(Errno::EINVAL));
    assert_eq!(control_int(&slave, &SHELL, ioctl::TCXONC, 7), Err(Errno::EINVAL));
    assert_eq!(control_int(&slave, &SHELL, ioctl::TIOCSETD, 3), Err(Errno::EINVAL));
    assert_eq!(control_int(&slave, &SHELL, ioctl::TIOCVHANGUP, 0), Err(Errno::EPERM));
    assert_eq!(master.control(&SHELL, ioctl::TIOCMGET, 0, &mut [0; _]), Err(Errno::ENOTTY));
}

#[test]
fn a_reader_s_fault_loses_nothing() {
    let Pty { master, slave, .. } = pty();
    master.try_write(b"hello\n").unwrap();
    assert_eq!(slave.try_read_with(&SHELL, 100, &mut |_| 2), Ok(2));
    let mut buffer = [0; 100];
    assert_eq!(slave.try_read(&SHELL, &mut buffer), Ok(4));
    assert_eq!(&buffer[..4], b"llo\n");
}
