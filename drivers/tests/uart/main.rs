//! The UART's driver against a model of the chip, on the executor's host platform: interrupts come in the middle of
//! everything, on several threads, and sometimes not at all.

mod chip;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chip::Chip;
use drivers::tty::{
    Caller, ControlFlags, InputFlags, LocalFlags, ModemLines, OpenAs, OpenTty, OutputFlags, Signal, Special,
    Termios, Tty, TtyConfig,
};
use drivers::uart::{PortIo, Uart};
use executor::{Builder, Lane, host, spawn, yield_now};
use linux_raw_sys::ioctl;
use support::{Jobs, STRANGER, caller, counted};
use uart_16550::spec::registers::{LCR, LSR, MCR, MSR, offsets};

/// A chip with its driver, a terminal on it, and a wire that runs until this is dropped.
struct Bench {
    chip: Arc<Chip>,
    uart: Arc<Uart<Arc<Chip>>>,
    tty: Arc<Tty>,
    file: OpenTty,
    wire: Arc<Wire>,
}

/// What the wire does beside moving bytes.
#[derive(Default)]
struct Wire {
    is_cut: AtomicBool,
    /// One in so many interrupts is not delivered; 0: all are.
    loses: AtomicUsize,
    interrupts: AtomicUsize,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.wire.is_cut.store(true, Ordering::Relaxed);
    }
}

/// Settings under which bytes pass unchanged.
fn transparent() -> Termios {
    let mut termios = Termios::SERIAL_CONSOLE;
    termios.input = InputFlags::empty();
    termios.output = OutputFlags::empty();
    termios.local = LocalFlags::empty();
    termios
}

impl Bench {
    /// Everything but the running wire and task.
    fn assemble(termios: Termios) -> Self {
        Self::assemble_on(Arc::new(Chip::default()), termios)
    }

    fn assemble_on(chip: Arc<Chip>, termios: Termios) -> Self {
        chip.set_modem_status(MSR::CTS | MSR::DSR | MSR::CD);
        let uart = Arc::new(Uart::new(chip.clone()).expect("the model answers"));
        let line = uart.clone();
        let tty = Tty::new(TtyConfig { device: (4, 64), termios, line: Some(line) }, Jobs::new());
        let file = tty.open(OpenAs::default()).expect("open");
        Self { chip, uart, tty, file, wire: Arc::default() }
    }

    fn start(termios: Termios) -> Self {
        Self::assemble(termios).run()
    }

    /// Sets the wire and the task going.
    fn run(self) -> Self {
        let bench = self;
        let (uart, tty) = (bench.uart.clone(), bench.tty.clone());
        Builder::new().name("uart").lane(Lane::Driver).spawn(async move { uart.run(&tty).await }).detach();
        let (chip, uart, wire) = (bench.chip.clone(), bench.uart.clone(), bench.wire.clone());
        spawn(async move {
            while !wire.is_cut.load(Ordering::Relaxed) {
                chip.tick();
                if chip.take_edge() {
                    let number = wire.interrupts.fetch_add(1, Ordering::Relaxed);
                    let loses = wire.loses.load(Ordering::Relaxed);
                    if loses == 0 || number % loses != 0 {
                        host::as_interrupt(|| uart.on_interrupt());
                    }
                }
                yield_now().await;
            }
        })
        .detach();
        bench
    }

    async fn write(&self, bytes: &[u8]) {
        let mut writing = self.file.begin_write(&STRANGER).await.expect("a turn");
        writing.put(bytes).await.expect("written");
    }

    async fn read(&self, wanted: usize) -> Vec<u8> {
        self.read_telling(wanted, |_| {}).await
    }

    /// Reads, and says after each piece how many bytes there are so far.
    async fn read_telling(&self, wanted: usize, tell: impl Fn(usize)) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < wanted {
            let left = wanted - bytes.len();
            let count = self
                .file
                .read(&STRANGER, left, &mut |run| {
                    bytes.extend_from_slice(run);
                    run.len()
                })
                .await
                .expect("read");
            assert!(count > 0, "end of file after {} of {wanted} bytes", bytes.len());
            tell(bytes.len());
        }
        bytes
    }

    /// Waits until `condition` holds, and fails when it does not within some seconds.
    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let started = std::time::Instant::now();
        while !condition(self) {
            assert!(started.elapsed() < Duration::from_secs(20), "still not: {what}");
            yield_now().await;
        }
    }
}

/// Received bytes that the driver keeps while its task does not run.
const KEPT_FOR_THE_TASK: usize = 1024;
/// Received bytes that are kept while nobody reads: in the input queue, before it, and in the driver.
const KEPT: usize = 4095 + 4096 + KEPT_FOR_THE_TASK;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + index / 251) as u8).collect()
}

#[test]
fn output_goes_out_whole_in_full_bursts_and_stalls_nobody() {
    host::block_on(2, async {
        let bench = Bench::start(transparent());
        let bytes = pattern(1 << 20);
        let turns = Arc::new(AtomicUsize::new(0));
        let (others, wire) = (turns.clone(), bench.wire.clone());
        spawn(async move {
            while !wire.is_cut.load(Ordering::Relaxed) {
                others.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        })
        .detach();
        bench.write(&bytes).await;
        bench.file.drain().await.expect("drained");
        let state = bench.chip.state();
        assert_eq!(state.lost, 0, "bytes were written into a full FIFO");
        assert!(state.sent == bytes, "the wire carried something else");
        let full = state.bursts.iter().filter(|&&burst| burst == 16).count();
        assert!(full * 16 > bytes.len() * 9 / 10, "only {full} full bursts of {}", state.bursts.len());
        assert!(turns.load(Ordering::Relaxed) > bytes.len() / 32, "another task hardly ran");
    });
}

#[test]
fn input_arrives_whole_and_in_order() {
    host::block_on(2, async {
        let bench = Bench::start(transparent());
        let bytes = pattern(20_000);
        let (chip, wire, sent) = (bench.chip.clone(), bench.wire.clone(), bytes.clone());
        let read = Arc::new(AtomicUsize::new(0));
        let taken = read.clone();
        spawn(async move {
            for (index, &byte) in sent.iter().enumerate() {
                // A sender that respects the FIFO, in runs of every length. Nor is it further ahead than the driver keeps for
                // its task: the host may stop the task's thread for longer than a real line takes for that.
                while chip.receive_room() == 0
                    || (index % 97 == 0 && chip.receive_room() < 16)
                    || index - taken.load(Ordering::Relaxed) == KEPT_FOR_THE_TASK
                {
                    if wire.is_cut.load(Ordering::Relaxed) {
                        return;
                    }
                    yield_now().await;
                }
                chip.arrive(byte, LSR::empty());
            }
        })
        .detach();
        let tell = |count| read.store(count, Ordering::Relaxed);
        assert!(bench.read_telling(bytes.len(), tell).await == bytes);
        assert_eq!(bench.uart.errors(), Default::default());
    });
}

/// A program that feeds an emulated machine's console does not wait for the driver.
#[test]
fn what_came_before_the_driver_is_kept() {
    host::block_on(1, async {
        let text = b"echo what a pipe has held since before the machine was switched on\nexit\n";
        // As a chip is when power comes on, and as an earlier user may have left it.
        for fifo_control in [0x00, 0x01, 0xc1] {
            let chip = Arc::new(Chip::default());
            chip.write(offsets::FCR as u8, fifo_control);
            chip.state().waiting.extend(text);
            let bench = Bench::assemble_on(chip, transparent()).run();
            let read = executor::timeout_after(bench.read(text.len()), Duration::from_secs(20)).await;
            assert!(read.is_ok_and(|read| read == text), "not with {fifo_control:#x}");
            assert_eq!(bench.uart.errors(), Default::default());
        }
    });
}

#[test]
fn lost_interrupts_only_cost_time() {
    host::block_on(2, async {
        let bench = Bench::start(transparent());
        bench.wire.loses.store(5, Ordering::Relaxed);
        let bytes = pattern(4000);
        bench.write(&bytes).await;
        bench.file.drain().await.expect("drained");
        assert!(bench.chip.state().sent == bytes);
        assert!(bench.wire.interrupts.load(Ordering::Relaxed) > 20, "too few interrupts to lose some");
    });
}

#[test]
fn an_interrupt_for_nothing_is_not_ours() {
    let bench = Bench::assemble(transparent());
    // The transmitter was empty when its interrupt was switched on: the first one is real.
    assert!(bench.uart.on_interrupt());
    assert!(!bench.uart.on_interrupt());
    assert!(!bench.chip.asks());
    bench.chip.arrive(b'x', LSR::FRAMING_ERROR);
    assert!(bench.uart.on_interrupt());
    assert!(!bench.chip.asks());
}

#[test]
fn damage_is_told_in_its_place() {
    host::block_on(1, async {
        let mut termios = transparent();
        termios.input = InputFlags::PARMRK | InputFlags::INPCK;
        termios.characters[Special::Minimum as usize] = 13;
        let bench = Bench::start(termios);
        bench.chip.arrive(b'a', LSR::empty());
        bench.chip.arrive(b'b', LSR::PARITY_ERROR);
        bench.chip.arrive(0xff, LSR::empty());
        bench.chip.arrive(0, LSR::BREAK_INTERRUPT | LSR::FRAMING_ERROR);
        bench.chip.arrive(b'c', LSR::FRAMING_ERROR);
        bench.chip.arrive(b'd', LSR::empty());
        assert_eq!(bench.read(13).await, b"a\xff\0b\xff\xff\xff\0\0\xff\0cd");
    });
}

#[test]
fn overruns_are_counted_and_the_rest_is_kept() {
    host::block_on(1, async {
        let bench = Bench::start(transparent());
        for byte in 0..20 {
            bench.chip.arrive(byte, LSR::empty());
        }
        assert_eq!(bench.read(16).await, (0..16).collect::<Vec<u8>>());
        assert_eq!(bench.uart.errors().overruns, 1);
    });
}

#[test]
fn what_the_task_finds_by_itself_is_delivered_at_once() {
    host::block_on(1, async {
        let bench = Bench::start(transparent());
        for byte in 0..100 {
            // It comes while the task, called for something else, is at the registers: the byte's own interrupt will
            // find nothing.
            bench.chip.state().at_next_look.push(byte);
            let ready = if byte % 2 == 0 { MSR::CTS | MSR::CD } else { MSR::CTS | MSR::CD | MSR::DSR };
            bench.chip.set_modem_status(ready);
            let found = executor::timeout_after(bench.read(1), Duration::from_secs(2)).await;
            assert_eq!(found, Ok(vec![byte]));
        }
    });
}

#[test]
fn a_reader_that_sleeps_keeps_a_sender_waiting() {
    host::block_on(1, async {
        let bench = Bench::start(transparent());
        let bytes = pattern(20_000);
        bench.chip.state().waiting.extend(&bytes);
        bench.until("a full FIFO", |bench| bench.chip.receive_room() == 0).await;
        // The chip keeps some, too.
        bench.until("all full", |bench| bench.chip.state().waiting.len() == 20_000 - KEPT - 16).await;
        assert!(!bench.chip.asks(), "nobody wants to know that there is more");
        assert!(bench.read(bytes.len()).await == bytes);
        assert_eq!(bench.uart.errors(), Default::default());
    });
}

#[test]
fn a_reader_that_sleeps_costs_bytes_of_others_but_not_the_line() {
    host::block_on(1, async {
        let bench = Bench::start(transparent());
        let bytes = pattern(KEPT + 16);
        for &byte in &bytes {
            bench.until("room in the FIFO", |bench| bench.chip.receive_room() > 0).await;
            bench.chip.arrive(byte, LSR::empty());
        }
        bench.until("a full FIFO", |bench| bench.chip.receive_room() == 0).await;
        (0..5).for_each(|_| bench.chip.arrive(b'?', LSR::empty()));
        assert!(bench.read(bytes.len()).await == bytes);
        bench.chip.arrive(b'!', LSR::empty());
        assert_eq!(bench.read(1).await, b"!");
        assert_eq!(bench.uart.errors().overruns, 1);
    });
}

#[test]
fn damage_is_told_of_a_byte_that_had_to_wait() {
    host::block_on(1, async {
        let mut termios = transparent();
        termios.input = InputFlags::PARMRK | InputFlags::INPCK;
        let bench = Bench::start(termios);
        let mut sent = 0;
        // Until one stays in the chip.
        while bench.chip.receive_room() == 16 {
            bench.chip.arrive(b'x', LSR::PARITY_ERROR);
            sent += 1;
            for _ in 0..1000 {
                if bench.chip.receive_room() < 16 {
                    yield_now().await;
                }
            }
        }
        // The driver looks at the line status, which tells of that byte's error once.
        bench.write(b"something to send").await;
        bench.until("it is sent", |bench| bench.chip.state().sent.len() == 17).await;
        assert!(bench.read(3 * sent).await == b"\xff\0x".repeat(sent));
    });
}

#[test]
fn clear_to_send_is_respected() {
    host::block_on(1, async {
        let mut termios = transparent();
        termios.control |= ControlFlags::CRTSCTS;
        let bench = Bench::start(termios);
        bench.chip.set_modem_status(MSR::DSR | MSR::CD);
        for _ in 0..50 {
            yield_now().await;
        }
        bench.write(b"held back").await;
        for _ in 0..200 {
            yield_now().await;
        }
        assert_eq!(bench.chip.state().sent, b"");
        let polls = Arc::new(AtomicUsize::new(0));
        let drained = {
            let file = bench.tty.open(OpenAs::default()).expect("open");
            spawn(counted(async move { file.drain().await }, polls.clone()))
        };
        for _ in 0..500 {
            yield_now().await;
        }
        assert!((1..=20).contains(&polls.load(Ordering::Relaxed)), "{polls:?} polls of a wait");
        bench.chip.set_modem_status(MSR::CTS | MSR::DSR | MSR::CD);
        drained.await.expect("not cancelled").expect("drained");
        assert_eq!(bench.chip.state().sent, b"held back");
    });
}

#[test]
fn modem_lines_follow_open_and_close() {
    host::block_on(1, async {
        let mut bench = Bench::start(transparent());
        let ready = MCR::DTR | MCR::RTS;
        bench.until("DTR up", |bench| bench.chip.modem_control().contains(ready)).await;
        let mut payload = [0; _];
        bench.file.control(&STRANGER, ioctl::TIOCMGET, 0, &mut payload).await.expect("TIOCMGET");
        let lines = ModemLines::DTR | ModemLines::RTS | ModemLines::CTS | ModemLines::DSR | ModemLines::CAR;
        assert_eq!(payload[..4], lines.bits().to_ne_bytes());
        payload[..4].copy_from_slice(&ModemLines::RTS.bits().to_ne_bytes());
        bench.file.control(&STRANGER, ioctl::TIOCMBIC, 0, &mut payload).await.expect("TIOCMBIC");
        bench.until("RTS down", |bench| !bench.chip.modem_control().intersects(MCR::RTS)).await;
        let second = bench.tty.open(OpenAs::default()).expect("open");
        drop(second);
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(bench.chip.modem_control().contains(MCR::DTR), "still open");
        let elsewhere = Bench::assemble(transparent()).tty.open(OpenAs::default()).expect("open");
        drop(std::mem::replace(&mut bench.file, elsewhere));
        bench.until("all lines down", |bench| !bench.chip.modem_control().intersects(ready)).await;
    });
}

#[test]
fn a_lost_carrier_hangs_up_unless_there_is_none() {
    for is_local in [false, true] {
        host::block_on(1, async move {
            let mut termios = transparent();
            termios.control.set(ControlFlags::CLOCAL, is_local);
            let bench = Bench::start(termios);
            yield_now().await;
            bench.chip.set_modem_status(MSR::CTS);
            for _ in 0..100 {
                yield_now().await;
            }
            assert_eq!(bench.file.is_hung_up(), !is_local);
        });
    }
}

#[test]
fn a_leader_s_exit_hangs_a_wire_up() {
    let jobs = Jobs::new();
    let chip = Arc::new(Chip::default());
    let uart = Arc::new(Uart::new(chip).expect("the model answers"));
    let config = TtyConfig { device: (4, 64), termios: Termios::SERIAL_CONSOLE, line: Some(uart) };
    let tty = Tty::new(config, jobs);
    let file = tty.open(OpenAs::default()).expect("open");
    let console = tty.open(OpenAs { console: true, admin: false }).expect("open");
    file.acquire_on_open(&Caller { has_terminal: false, ..caller(1, 1) }, true);
    assert_eq!(tty.session(), 1);
    tty.leave_session(7, true);
    assert!(!file.is_hung_up());
    tty.leave_session(1, true);
    assert!(file.is_hung_up() && !console.is_hung_up());
    assert_eq!(jobs.take_sent(), [(1, Signal::Hangup)]);
    assert!(jobs.terminals.lock().expect("whole").is_empty());
}

#[test]
fn a_leader_s_last_words_are_sent() {
    host::block_on(1, async {
        let bench = Bench::start(transparent());
        bench.file.acquire_on_open(&Caller { has_terminal: false, ..caller(1, 1) }, true);
        let bytes = pattern(3000);
        bench.write(&bytes).await;
        bench.tty.leave_session(1, true);
        assert!(bench.file.is_hung_up());
        bench.until("sent", |bench| bench.chip.state().sent.len() == bytes.len()).await;
        assert_eq!(bench.chip.state().sent, bytes);
    });
}

#[test]
fn settings_reach_the_chip() {
    host::block_on(1, async {
        let bench = Bench::start(transparent());
        assert_eq!(bench.chip.divisor(), 1);
        let mut termios = transparent();
        termios.output_speed = 9600;
        termios.control.remove(ControlFlags::CSIZE);
        termios.control |= ControlFlags::from_bits_retain(0o40) | ControlFlags::PARENB | ControlFlags::CSTOPB;
        bench.tty.set_termios(termios);
        bench.until("9600 bit/s", |bench| bench.chip.divisor() == 12).await;
        assert_eq!(bench.chip.line_control(), LCR::from_bits_retain(0b1_1110));
        termios.output_speed = 0;
        bench.tty.set_termios(termios);
        bench.until("modem lines dropped", |bench| !bench.chip.modem_control().contains(MCR::DTR)).await;
    });
}

#[test]
fn an_empty_socket_is_no_uart() {
    struct Nothing;
    impl PortIo for Nothing {
        fn read(&self, _: u8) -> u8 {
            0xff
        }
        fn write(&self, _: u8, _: u8) {}
    }
    assert!(Uart::new(Nothing).is_err());
}
