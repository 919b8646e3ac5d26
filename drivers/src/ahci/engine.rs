//! A port's machinery: starting and stopping it, resetting the device behind it, and single commands of the driver's own.

use alloc::sync::Arc;
use core::time::Duration;

use executor::{Instant, timeout};

use super::attachment::{BringUpError, DeviceKind};
use super::fis::Fis;
use super::hba::{Hba, PortState};
use super::identify::{Identity, Words};
use super::memory::PortMemory;
use super::registers::{
    Capabilities, DeviceStatus, PortControl, PortEvents, PortRegisters, detection, port, signature,
};
use crate::block::InFlight;
use crate::dma::{Dma, Mmio};
use crate::patience::within;

/// How long the port may take to stop (AHCI 10.1.2, 10.4.2).
const STOP: Duration = Duration::from_millis(500);
/// How long the link is held in reset (AHCI 10.4.2).
const RESET_HOLD: Duration = Duration::from_millis(1);
/// How long a device may take to answer a reset at all (Serial ATA: 10 ms), and until the link is up.
const ANSWER: Duration = Duration::from_millis(50);
const LINK_UP: Duration = Duration::from_secs(1);
/// How long a disk may take to spin up.
const SPIN_UP: Duration = Duration::from_secs(30);
/// How long a disk may take for a command of the driver's own.
const OWN_COMMAND: Duration = Duration::from_secs(10);
/// Register reads that a port gets to stop when nobody can wait for it.
const LAST_LOOKS: usize = 10_000;

/// Why there is no disk at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    Empty,
    Other(DeviceKind),
    Broken(BringUpError),
}

/// What went wrong at a port, from bad to worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The device reported an error.
    Device,
    /// A command was not answered in time.
    Timeout,
    /// The link or the HBA reported an error.
    Transfer,
    /// The link went down, at least for a while.
    Link,
}

/// A port with its memory and its commands. Whoever drops it stops the port.
pub struct Engine<'h, M: Mmio, D: Dma> {
    pub hba: &'h Hba<M, D>,
    pub index: u32,
    pub registers: PortRegisters<'h, M>,
    pub state: &'h PortState,
    /// Counted, so that it can be kept for ever if the port does not stop.
    pub memory: Arc<PortMemory<D::Region>>,
    /// What is in the hands of the device, by slot.
    pub in_flight: InFlight<32>,
    /// Whether those are queued commands, of which there may be several.
    pub is_queued: bool,
    /// Resets and false alarms since a command ended.
    pub setbacks: u32,
}

impl PortEvents {
    /// The worst of what the events tell.
    pub fn trouble(self) -> Option<Trouble> {
        let transfer = Self::ERRORS.difference(Self::TFES);
        if self.intersects(Self::LINK) {
            Some(Trouble::Link)
        } else if self.intersects(transfer) {
            Some(Trouble::Transfer)
        } else {
            self.contains(Self::TFES).then_some(Trouble::Device)
        }
    }
}

impl<'h, M: Mmio, D: Dma> Engine<'h, M, D> {
    /// The engine of a port that has been reset with its HBA.
    ///
    /// # Errors
    /// When there is no such port, it has an engine already, or no memory.
    pub fn new(hba: &'h Hba<M, D>, index: u32) -> Result<Self, BringUpError> {
        if !hba.ports().any(|port| port == index) {
            return Err(BringUpError::Port);
        }
        let state = &hba.ports[index as usize];
        let slots = hba.capabilities.slots();
        let memory = PortMemory::allocate(&hba.dma, slots, hba.reach()).ok_or(BringUpError::NoMemory)?;
        if !state.claim() {
            return Err(BringUpError::Port);
        }
        Ok(Self {
            hba,
            index,
            registers: hba.port(index),
            state,
            memory: Arc::new(memory),
            in_flight: InFlight::new(),
            is_queued: false,
            setbacks: 0,
        })
    }

    /// Makes the port process its command list.
    pub fn start(&self) {
        self.registers.set_control(self.registers.control() | PortControl::ST);
    }

    /// Makes it stop: afterwards neither commands nor their memory are touched, and PxCI and PxSACT are empty. Whether
    /// it does.
    pub async fn stop(&self) -> bool {
        self.registers.set_control(self.registers.control() - PortControl::ST);
        within(STOP, || !self.registers.control().contains(PortControl::CR)).await
    }

    /// The same for one who cannot wait, and for received FISes, too.
    pub fn stop_now(&self) -> bool {
        self.registers.write(port::IE, 0);
        self.registers.set_control(self.registers.control() - PortControl::ST);
        let stops = |bit| (0..LAST_LOOKS).any(|_| !self.registers.control().contains(bit));
        let has_stopped = stops(PortControl::CR);
        self.registers.set_control(self.registers.control() - PortControl::FRE);
        stops(PortControl::FR) && has_stopped
    }

    /// Resets the device and learns what it is. The port runs afterwards if that is a disk; it must not process
    /// commands when this begins, unless it cannot be stopped in any other way.
    pub async fn bring_up(&self) -> Result<Identity, Absence> {
        let registers = self.registers;
        registers.set_control(registers.control() - PortControl::ST - PortControl::ATAPI);
        let mut control = registers.control() | PortControl::ICC_ACTIVE;
        if !control.contains(PortControl::FRE) {
            self.memory.announce(registers);
        }
        control |= PortControl::FRE | PortControl::SUD;
        if control.contains(PortControl::CPD) {
            control |= PortControl::POD;
        }
        registers.set_control(control);
        registers.write(port::SCTL, detection::NO_SAVING | detection::RESET);
        executor::sleep(RESET_HOLD).await;
        registers.write(port::SCTL, detection::NO_SAVING);
        let detected = || registers.detection();
        if !within(ANSWER, || detected() != detection::NONE).await {
            return Err(Absence::Empty);
        }
        if !within(LINK_UP, || detected() == detection::UP).await {
            return Err(Absence::Broken(BringUpError::NotReady));
        }
        // What the reset itself gave rise to; the device's first FIS waits until the diagnostics are cleared.
        registers.write(port::SERR, !0);
        if !within(SPIN_UP, || !registers.is_busy() || detected() != detection::UP).await {
            return Err(Absence::Broken(BringUpError::NotReady));
        }
        if !within(STOP, || !registers.control().contains(PortControl::CR)).await {
            return Err(Absence::Broken(BringUpError::Port));
        }
        if !self.forget_events() {
            return Err(Absence::Empty);
        }
        match registers.read(port::SIG) {
            signature::DISK => self.identify().await.map_err(Absence::Broken),
            signature::ATAPI => Err(Absence::Other(DeviceKind::Atapi)),
            signature::PORT_MULTIPLIER => Err(Absence::Other(DeviceKind::PortMultiplier)),
            signature::ENCLOSURE => Err(Absence::Other(DeviceKind::Enclosure)),
            other => Err(Absence::Other(DeviceKind::Unknown(other))),
        }
    }

    /// Begins to listen anew. Whether the link is up then.
    pub fn forget_events(&self) -> bool {
        self.registers.write(port::SERR, !0);
        self.hba.look_at(self.index);
        self.state.take_events();
        self.registers.write(port::IE, PortEvents::WANTED.bits());
        self.registers.detection() == detection::UP
    }

    async fn identify(&self) -> Result<Identity, BringUpError> {
        self.start();
        let words = self.ask(Fis::identify()).await.map_err(|_| BringUpError::Identify)?;
        let can_queue = self.hba.capabilities.contains(Capabilities::SNCQ);
        let slots = self.hba.capabilities.slots();
        words.parse(slots, can_queue, self.hba.reach()).ok_or(BringUpError::Nonsense)
    }

    /// Has the device answer a command with a sector. Nothing else may be in flight, and the port has to run; after an
    /// error it may have stopped.
    pub async fn ask(&self, fis: Fis) -> Result<Words, Trouble> {
        self.memory.set_scratch(0);
        self.memory.set_command(0, fis, false, 1);
        self.registers.write(port::CI, 1);
        let deadline = Instant::now() + OWN_COMMAND;
        loop {
            let is_late = Instant::now() >= deadline;
            if is_late {
                self.hba.look_at(self.index);
            }
            if let Some(trouble) = self.state.take_events().trouble() {
                return Err(trouble);
            }
            if self.registers.read(port::CI) & 1 == 0 {
                let status = self.registers.status();
                let has_failed = status.intersects(DeviceStatus::ERR | DeviceStatus::DF);
                return if has_failed { Err(Trouble::Device) } else { Ok(self.memory.scratch()) };
            }
            if is_late {
                return Err(Trouble::Timeout);
            }
            // Whether it rang or it is late, the loop looks.
            let _ = timeout(self.state.bell.wait(), deadline).await;
        }
    }
}
