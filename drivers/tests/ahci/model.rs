//! An AHCI HBA at the level of its registers, with disks behind its ports, in the executor's simulator. It takes
//! commands from lists in memory as the real one does, and fails the test when the driver breaks a rule.

use std::sync::{Arc, Mutex, OnceLock};

use drivers::dma::Mmio;
use executor::sim::{interrupt_after, random, spend};

use crate::ata::{Answer, Disk, Taskfile};
use crate::disk::memory::Memory;

const ST: u32 = 1 << 0;
const FRE: u32 = 1 << 4;
const FR: u32 = 1 << 14;
const CR: u32 = 1 << 15;

const DHRS: u32 = 1 << 0;
const PSS: u32 = 1 << 1;
const SDBS: u32 = 1 << 3;
const PCS: u32 = 1 << 6;
const PRCS: u32 = 1 << 22;
const IFS: u32 = 1 << 27;
const TFES: u32 = 1 << 30;

const SERR_N: u32 = 1 << 16;
const SERR_X: u32 = 1 << 26;

const ERR: u32 = 1;
const READY: u32 = 0x50;
const BSY: u32 = 0x80;

/// The HBA. Registers are read and written through [`Mmio`].
#[derive(Clone)]
pub struct Hba(Arc<Shared>);

struct Shared {
    memory: Memory,
    cpus: usize,
    state: Mutex<State>,
    /// The driver's interrupt handler.
    handler: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

pub struct State {
    ghc: u32,
    is: u32,
    bohc: u32,
    resets: usize,
    pub ports: Vec<Port>,
    /// One in so many interrupts is lost; 0: none is.
    pub loses: u64,
    /// So many messages were sent.
    pub interrupts: usize,
    pub has_ncq: bool,
    pub is_64_bit: bool,
}

#[derive(Default)]
pub struct Port {
    clb: u64,
    fb: u64,
    is: u32,
    ie: u32,
    cmd: u32,
    tfd: u32,
    sig: u32,
    ssts: u32,
    sctl: u32,
    serr: u32,
    sact: u32,
    ci: u32,
    pub disk: Option<Disk>,
    /// What it is, if it is no disk.
    pub signature: Option<u32>,
    /// Counts what makes everything under way void.
    epoch: u64,
    /// No command is processed until the list was stopped.
    is_halted: bool,
    /// Queued commands are refused until the log was read.
    is_upset: bool,
    /// It does not stop any more.
    pub is_stuck: bool,
    /// Commands in flight at once, at most.
    pub deepest: u32,
    pub resets: usize,
}

impl Hba {
    pub fn new(memory: Memory, cpus: usize, ports: usize) -> Self {
        let state = State {
            ghc: 0,
            is: 0,
            bohc: 1,
            resets: 0,
            ports: (0..ports).map(|_| Port::default()).collect(),
            loses: 0,
            interrupts: 0,
            has_ncq: true,
            is_64_bit: true,
        };
        let (state, handler) = (Mutex::new(state), OnceLock::new());
        Self(Arc::new(Shared { memory, cpus, state, handler }))
    }

    /// Calls this at interrupts.
    pub fn connect(&self, handler: impl Fn() + Send + Sync + 'static) {
        assert!(self.0.handler.set(Box::new(handler)).is_ok());
    }

    pub fn with<R>(&self, access: impl FnOnce(&mut State) -> R) -> R {
        access(&mut self.0.state.lock().expect("whole"))
    }

    /// Looks at a disk.
    pub fn disk<R>(&self, port: usize, access: impl FnOnce(&mut Disk) -> R) -> R {
        self.with(|state| access(state.ports[port].disk.as_mut().expect("a disk")))
    }

    /// The disk is pulled out; it comes back with all that it has.
    pub fn unplug(&self, port: usize) -> Option<Disk> {
        self.change(port, |port| {
            port.epoch += 1;
            port.ssts = 0;
            port.tfd = 0x7f;
            port.serr |= SERR_N | SERR_X;
            port.is |= PCS | PRCS;
            port.disk.take()
        })
    }

    /// A disk is plugged in.
    pub fn plug(&self, port: usize, disk: Disk) {
        self.with(|state| state.ports[port].disk = Some(disk));
        self.link_up(port);
    }

    /// The link reports an error, and the port stops.
    pub fn disturb(&self, port: usize) {
        self.change(port, |port| {
            if port.cmd & ST != 0 && !port.is_halted {
                port.is |= IFS;
                port.is_halted = true;
                port.epoch += 1;
            }
        });
    }

    /// Changes a port, and interrupts if it asks for that.
    fn change<R>(&self, index: usize, change: impl FnOnce(&mut Port) -> R) -> R {
        let (result, interrupts) = self.with(|state| {
            let result = change(&mut state.ports[index]);
            (result, state.raise(index))
        });
        if interrupts {
            self.interrupt();
        }
        result
    }

    /// Sends a message to some CPU, unless it is lost.
    fn interrupt(&self) {
        let is_lost = self.with(|state| {
            state.interrupts += 1;
            state.loses > 0 && random(state.loses) == 0
        });
        if !is_lost {
            let shared = self.0.clone();
            interrupt_after(random(self.0.cpus as u64) as usize, random(500), move || {
                if let Some(handler) = shared.handler.get() {
                    handler();
                }
            });
        }
    }

    fn after(&self, delay: u64, what: impl FnOnce(&Self) + Send + 'static) {
        let hba = self.clone();
        interrupt_after(random(self.0.cpus as u64) as usize, delay, move || what(&hba));
    }

    fn link_up(&self, index: usize) {
        let epoch = self.change(index, |port| {
            port.epoch += 1;
            port.ssts = 0x123;
            port.tfd = 0x80;
            port.serr |= SERR_N | SERR_X;
            port.is |= PCS | PRCS;
            port.epoch
        });
        self.after(1_000_000 + random(5_000_000), move |hba| hba.first_fis(index, epoch));
    }

    /// The FIS with which a device tells what it is, once FISes are received.
    fn first_fis(&self, index: usize, epoch: u64) {
        let is_wanted = self.with(|state| state.ports[index].epoch == epoch);
        let can_be_received =
            self.with(|state| state.ports[index].cmd & FRE != 0 && state.ports[index].serr & SERR_X == 0);
        if is_wanted && !can_be_received {
            self.after(100_000, move |hba| hba.first_fis(index, epoch));
        } else if is_wanted {
            self.receive_fis(index, 0x40, 0x34);
            self.change(index, |port| {
                port.tfd = READY;
                port.sig = port.signature.unwrap_or(0x101);
                port.is |= DHRS;
            });
        }
    }

    fn receive_fis(&self, index: usize, offset: u64, kind: u8) {
        let fb = self.with(|state| state.ports[index].fb);
        self.0.memory.write(fb + offset, &[kind, 0, 0, 0]);
    }

    /// Takes a command from the list.
    fn begin(&self, index: usize, slot: u32) {
        let (clb, sact, epoch) = self.with(|state| {
            let port = &state.ports[index];
            (port.clb, port.sact, port.epoch)
        });
        let memory = &self.0.memory;
        let header = clb + u64::from(slot) * 32;
        let table = u64::from(memory.read32(header + 8)) | u64::from(memory.read32(header + 12)) << 32;
        let is_fis = memory.read32(header) & 0x1f == 5 && memory.read32(table) & 0xffff == 0x8027;
        self.with(|state| state.ports[index].rule(is_fis, "no command FIS"));
        if !is_fis {
            return;
        }
        let task = Taskfile::from_fis(&memory.read(table, 20));
        let delay = self.with(|state| {
            let port = &mut state.ports[index];
            let others = (port.ci | port.sact) & !(1 << slot);
            if task.is_queued() {
                port.rule(sact & 1 << slot != 0, "a queued command without its bit in SACT");
                port.rule(u32::from(task.count) >> 3 == slot, "tag and slot differ");
                port.rule(others & !port.sact == 0, "queued commands mixed with others");
                port.ci &= !(1 << slot);
            } else {
                port.rule(sact == 0 && others == 0, "a command that is not queued among others");
                port.tfd = port.tfd & !0xff | BSY;
            }
            port.deepest = port.deepest.max((port.ci | port.sact).count_ones());
            let faults = &mut port.disk.as_mut().expect("a disk").faults;
            let hangs = faults.hang_next > 0 || (faults.hangs > 0 && random(faults.hangs) == 0);
            faults.hang_next = faults.hang_next.saturating_sub(1);
            (!hangs).then(|| 1_000 + random(faults.slowness.max(20_000)))
        });
        if let Some(delay) = delay {
            self.after(delay, move |hba| hba.finish(index, slot, epoch, header, table, task));
        }
    }

    /// Moves the data and tells the host.
    fn finish(&self, index: usize, slot: u32, epoch: u64, header: u64, table: u64, task: Taskfile) {
        if self.with(|state| state.ports[index].epoch != epoch || state.ports[index].is_halted) {
            return;
        }
        let memory = &self.0.memory;
        let segments: Vec<(u64, usize)> = (0..u64::from(memory.read32(header) >> 16))
            .map(|number| table + 0x80 + number * 16)
            .map(|at| {
                let address = u64::from(memory.read32(at)) | u64::from(memory.read32(at + 4)) << 32;
                (address, (memory.read32(at + 12) & 0x3f_ffff) as usize + 1)
            })
            .collect();
        let is_write = memory.read32(header) & 1 << 6 != 0;
        let room: usize = segments.iter().map(|segment| segment.1).sum();
        let data: Vec<u8> = if is_write {
            segments.iter().flat_map(|&(address, bytes)| memory.read(address, bytes)).collect()
        } else {
            Vec::new()
        };
        let wanted = self.disk(index, |disk| disk.wanted(&task));
        let is_sound = wanted == data.len();
        let answer =
            if is_sound { self.disk(index, |disk| disk.carry_out(&task, &data)) } else { Answer::Done };
        let room_is_right = !matches!(&answer, Answer::Data(bytes) if bytes.len() != room);
        self.with(|state| state.ports[index].rule(is_sound && room_is_right, "segments of another length"));
        if let Answer::Data(bytes) = &answer
            && room_is_right
        {
            let mut rest = &bytes[..];
            for (address, bytes) in segments {
                let (part, behind) = rest.split_at(bytes);
                memory.write(address, part);
                rest = behind;
            }
        }
        self.receive_fis(index, if task.is_queued() { 0x58 } else { 0x40 }, 0x34);
        self.change(index, |port| port.answer(slot, &task, &answer));
    }

    fn write_port(&self, index: usize, register: usize, value: u32) {
        let started = self.change(index, |port| port.write(register, value));
        for slot in (0..32).filter(|slot| started & 1 << slot != 0) {
            self.begin(index, slot);
        }
        if register == 0x18 {
            // Stopping takes a while.
            let epoch = self.with(|state| state.ports[index].epoch);
            self.after(random(50_000), move |hba| hba.change(index, |port| port.settle(epoch)));
        }
        let has_disk = self.with(|state| {
            let port = &mut state.ports[index];
            let has_device = port.disk.is_some() || port.signature.is_some();
            let ends_reset = register == 0x2c && value & 0xf == 0 && port.ssts & 0xf == 0 && has_device;
            ends_reset.then(|| port.resets += 1).is_some()
        });
        if has_disk {
            let epoch = self.with(|state| state.ports[index].epoch);
            self.after(random(2_000_000), move |hba| {
                if hba.with(|state| state.ports[index].epoch == epoch) {
                    hba.link_up(index);
                }
            });
        }
    }
}

impl State {
    /// Sets the port's bit if it has something to tell. Whether that is worth a message.
    fn raise(&mut self, index: usize) -> bool {
        let port = &self.ports[index];
        let was_set = self.is & 1 << index != 0;
        if port.is & port.ie == 0 {
            return false;
        }
        self.is |= 1 << index;
        !was_set && self.ghc & 1 << 1 != 0
    }

    fn capabilities(&self) -> u32 {
        let flags = u32::from(self.has_ncq) << 30 | u32::from(self.is_64_bit) << 31;
        flags | 31 << 8 | (self.ports.len() as u32 - 1)
    }

    fn reset(&mut self) {
        self.resets += 1;
        (self.ghc, self.is) = (1 << 31, 0);
        for port in &mut self.ports {
            *port = Port {
                disk: port.disk.take(),
                signature: port.signature,
                epoch: port.epoch + 1,
                tfd: 0x7f,
                ..Port::default()
            };
        }
    }
}

impl Port {
    fn read(&self, register: usize) -> u32 {
        match register {
            0x00 => self.clb as u32,
            0x08 => self.fb as u32,
            0x10 => self.is,
            0x14 => self.ie,
            0x18 => self.cmd,
            0x20 => self.tfd,
            0x24 => self.sig,
            0x28 => self.ssts,
            0x2c => self.sctl,
            0x30 => self.serr,
            0x34 => self.sact,
            0x38 => self.ci,
            other => panic!("port register {other:#x}"),
        }
    }

    fn rule(&self, is_kept: bool, what: &str) {
        assert!(is_kept, "{what}");
    }

    /// Gives the slots that are to be begun.
    fn write(&mut self, register: usize, value: u32) -> u32 {
        let is_stopped = self.cmd & (ST | CR) == 0;
        let set = |whole: &mut u64, shift: u32| {
            *whole = *whole & !(0xffff_ffff << shift) | u64::from(value) << shift;
        };
        match register {
            0x00 | 0x04 => {
                self.rule(is_stopped, "the list is moved while it is processed");
                set(&mut self.clb, register as u32 * 8);
            }
            0x08 | 0x0c => {
                self.rule(self.cmd & (FRE | FR) == 0, "the FISes are moved while they are received");
                set(&mut self.fb, (register as u32 - 8) * 8);
            }
            0x10 => {
                self.is &= !value;
                self.is |= if self.serr & SERR_X != 0 { PCS } else { 0 };
                self.is |= if self.serr & SERR_N != 0 { PRCS } else { 0 };
            }
            0x14 => self.ie = value,
            0x18 => {
                if value & ST != 0 && self.cmd & ST == 0 {
                    self.rule(self.cmd & CR == 0, "started before it had stopped");
                    self.rule(self.cmd & FRE != 0, "started without receiving FISes");
                    self.rule(self.tfd & 0x88 == 0, "started while the device is busy");
                    self.is_halted = false;
                    self.cmd |= CR;
                }
                if value & FRE != 0 {
                    self.rule(self.fb != 0, "FISes are received nowhere");
                    self.cmd |= FR;
                }
                self.cmd = self.cmd & (CR | FR) | value & !(CR | FR);
            }
            0x2c => {
                self.sctl = value;
                if value & 0xf == 1 {
                    self.epoch += 1;
                    (self.ssts, self.tfd, self.sig) = (0, 0x7f, !0);
                    self.is_upset = false;
                    self.is_halted = true;
                }
            }
            0x30 => {
                self.serr &= !value;
                let lasting = |bit, event| if self.serr & bit == 0 { event } else { 0 };
                self.is &= !(lasting(SERR_X, PCS) | lasting(SERR_N, PRCS));
            }
            0x34 => {
                self.rule(self.cmd & ST != 0, "a command for a port that is stopped");
                self.rule(self.sact & value == 0, "a tag is used twice");
                self.sact |= value;
            }
            0x38 => {
                self.rule(self.cmd & ST != 0, "a command for a port that is stopped");
                self.rule(self.ci & value == 0, "a slot is used twice");
                self.ci |= value;
                return if self.is_halted || self.disk.is_none() { 0 } else { value };
            }
            other => panic!("port register {other:#x}"),
        }
        0
    }

    /// What was asked of the control register has taken place.
    fn settle(&mut self, epoch: u64) {
        if self.is_stuck {
            return;
        }
        if self.cmd & ST == 0 && self.cmd & CR != 0 {
            self.cmd &= !CR;
            (self.ci, self.sact) = (0, 0);
            if self.epoch == epoch {
                self.epoch += 1;
            }
        }
        if self.cmd & FRE == 0 {
            self.cmd &= !FR;
        }
    }

    fn answer(&mut self, slot: u32, task: &Taskfile, answer: &Answer) {
        let bit = 1 << slot;
        let refuses = self.is_upset && task.command != 0x2f;
        let error = match answer {
            Answer::Error(error) => Some(*error),
            _ if refuses => Some(1 << 2),
            _ => None,
        };
        if let Some(error) = error {
            if task.is_queued() {
                let mut log = [0; 512];
                (log[0], log[2], log[3]) = (slot as u8, 0x41, error);
                self.disk.as_mut().expect("a disk").error_log = Some(log);
                self.is_upset = true;
            }
            self.tfd = u32::from(error) << 8 | READY | ERR;
            self.is |= TFES;
            self.is_halted = true;
            self.epoch += 1;
            return;
        }
        self.tfd = READY;
        if task.is_queued() {
            self.sact &= !bit;
            self.is |= SDBS;
        } else {
            self.ci &= !bit;
            self.is_upset = false;
            self.is |= if matches!(task.command, 0xec | 0x2f) { PSS } else { DHRS };
        }
    }
}

impl Mmio for Hba {
    fn read32(&self, offset: usize) -> u32 {
        spend(100);
        self.with(|state| match offset {
            0x00 => state.capabilities(),
            0x04 => state.ghc,
            0x08 => state.is,
            0x0c => (1u64 << state.ports.len()).wrapping_sub(1) as u32,
            0x10 => 0x0001_0301,
            0x24 => 1,
            0x28 => state.bohc,
            _ if offset >= 0x100 => state.ports[(offset - 0x100) / 0x80].read(offset % 0x80),
            other => panic!("register {other:#x}"),
        })
    }

    fn write32(&self, offset: usize, value: u32) {
        spend(100);
        match offset {
            0x04 if value & 1 != 0 => {
                self.with(|state| state.ghc |= 1);
                self.after(random(1_000_000), |hba| hba.with(State::reset));
            }
            0x04 => self.with(|state| state.ghc = value),
            0x08 => {
                let again = self.with(|state| {
                    state.is &= !value;
                    (0..state.ports.len()).filter(|&index| state.raise(index)).count()
                });
                if again > 0 {
                    self.interrupt();
                }
            }
            0x28 => {
                // The firmware is slow to let go.
                self.with(|state| state.bohc |= value & 2);
                self.after(random(10_000_000), |hba| hba.with(|state| state.bohc &= !1));
            }
            _ if offset >= 0x100 => self.write_port((offset - 0x100) / 0x80, offset % 0x80, value),
            other => panic!("register {other:#x}"),
        }
    }

    fn len(&self) -> usize {
        0x100 + 0x80 * self.with(|state| state.ports.len())
    }
}
