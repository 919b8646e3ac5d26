//! The host bus adapter: from the firmware's hands to ports that can be run.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use executor::atomic::Ordering::{AcqRel, Acquire, Release};
use executor::atomic::{AtomicBool, AtomicU32};

use super::registers::{Capabilities, Handoff, HostControl, PortEvents, PortRegisters, host};
use crate::bell::Bell;
use crate::dma::{Dma, Mmio, Reach};
use crate::patience::within;

/// Ports that an HBA has at most.
const MAX_PORTS: usize = 32;
/// How long the firmware may take to let go, and once more if it says that it is busy (AHCI 10.6.3).
const HANDOFF: [Duration; 2] = [Duration::from_millis(25), Duration::from_secs(2)];
/// How long a reset may take (AHCI 10.4.3).
const RESET: Duration = Duration::from_secs(1);
/// The first version that knows CAP2.
const VERSION_1_2: u32 = 0x0001_0200;

/// An AHCI host bus adapter. See the module's documentation.
pub struct Hba<M, D> {
    pub(super) registers: M,
    pub(super) dma: D,
    pub(super) capabilities: Capabilities,
    /// PI: which ports there are.
    implemented: u32,
    pub(super) ports: Box<[PortState]>,
}

/// What a port's interrupts and its task share.
#[derive(Default)]
pub(super) struct PortState {
    /// PxIS bits that nobody has looked at. Release by the handler, Acquire by the task.
    events: AtomicU32,
    pub bell: Arc<Bell>,
    /// It has a task.
    is_claimed: AtomicBool,
}

impl PortState {
    /// Makes the caller the port's only task; false: it has one. Acquire pairs with the end of an earlier one.
    pub fn claim(&self) -> bool {
        !self.is_claimed.swap(true, Acquire)
    }

    /// The task is no more.
    pub fn release(&self) {
        self.is_claimed.store(false, Release);
    }

    /// What was seen since the last call.
    pub fn take_events(&self) -> PortEvents {
        PortEvents::from_bits_retain(self.events.swap(0, AcqRel))
    }

    fn note(&self, events: PortEvents) {
        self.events.fetch_or(events.bits(), Release);
    }
}

/// Why an HBA cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HbaError {
    /// The registers do not look like those of an AHCI HBA, or too few are mapped.
    NotAhci,
    /// It does not come out of its reset.
    Reset,
}

impl fmt::Display for HbaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAhci => "this is no AHCI HBA",
            Self::Reset => "the HBA does not come out of its reset",
        })
    }
}

impl core::error::Error for HbaError {}

impl<M: Mmio, D: Dma> Hba<M, D> {
    /// Takes the HBA from the firmware and resets it. PCI bus mastering and memory space must be on; `registers` is
    /// BAR 5. Afterwards [`Self::on_interrupt`] has to be called at its interrupts, and [`Self::run`] for each port.
    ///
    /// # Errors
    /// See [`HbaError`].
    pub async fn start(registers: M, dma: D) -> Result<Self, HbaError> {
        if registers.len() < host::PORTS {
            return Err(HbaError::NotAhci);
        }
        let capabilities = registers.read32(host::CAP);
        let implemented = registers.read32(host::PI);
        if capabilities == !0 || implemented == 0 || capabilities == 0 {
            return Err(HbaError::NotAhci);
        }
        take_over(&registers).await;
        let control = |flags: HostControl| registers.write32(host::GHC, flags.bits());
        control(HostControl::AE);
        control(HostControl::AE | HostControl::HR);
        let has_reset = || registers.read32(host::GHC) & HostControl::HR.bits() == 0;
        if !within(RESET, has_reset).await {
            return Err(HbaError::Reset);
        }
        control(HostControl::AE);
        registers.write32(host::IS, !0);
        control(HostControl::AE | HostControl::IE);
        // Ports whose registers are not mapped do not exist, whatever it says.
        let mapped = ((registers.len() - host::PORTS) / host::PORT_SIZE).min(MAX_PORTS);
        Ok(Self {
            capabilities: Capabilities::from_bits_retain(capabilities),
            implemented: if mapped == MAX_PORTS { implemented } else { implemented & ((1 << mapped) - 1) },
            ports: (0..MAX_PORTS).map(|_| PortState::default()).collect(),
            registers,
            dma,
        })
    }

    /// The numbers of the ports that there are.
    pub fn ports(&self) -> impl Iterator<Item = u32> + use<M, D> {
        let implemented = self.implemented;
        (0..MAX_PORTS as u32).filter(move |port| implemented & 1 << port != 0)
    }

    /// Where its buffers may lie.
    pub fn reach(&self) -> Reach {
        if self.capabilities.contains(Capabilities::S64A) { Reach::Anywhere } else { Reach::Below4GiB }
    }

    /// The interrupt handler: acknowledges, and wakes the tasks of the ports that called. Takes no lock, allocates
    /// nothing, and reads at most two registers of each port. False: it was not this HBA.
    pub fn on_interrupt(&self) -> bool {
        let pending = self.registers.read32(host::IS) & self.implemented;
        for index in self.ports().filter(|index| pending & 1 << index != 0) {
            let port = &self.ports[index as usize];
            port.note(self.port(index).acknowledge());
            port.bell.ring();
        }
        if pending != 0 {
            // After the ports', or it would be set again at once (AHCI 5.6.3).
            self.registers.write32(host::IS, pending);
        }
        pending != 0
    }

    pub(super) fn port(&self, index: u32) -> PortRegisters<'_, M> {
        PortRegisters::new(&self.registers, index)
    }

    /// The task's look at a port whose interrupt may have been lost: as the handler does it.
    pub(super) fn look_at(&self, index: u32) {
        self.ports[index as usize].note(self.port(index).acknowledge());
        self.registers.write32(host::IS, 1 << index);
    }
}

/// Asks the firmware to let go of the HBA (AHCI 10.6), and goes on if it does not.
async fn take_over<M: Mmio>(registers: &M) {
    if registers.read32(host::VS) < VERSION_1_2 || registers.read32(host::CAP2) & 1 == 0 {
        return;
    }
    let read = || Handoff::from_bits_retain(registers.read32(host::BOHC));
    registers.write32(host::BOHC, (read() | Handoff::OOS).bits());
    for patience in HANDOFF {
        if within(patience, || !read().contains(Handoff::BOS)).await {
            break;
        }
        if !read().contains(Handoff::BB) {
            log::warn!("ahci: the firmware does not let go of the HBA");
            break;
        }
    }
    registers.write32(host::BOHC, (read() | Handoff::OOC).bits());
}
