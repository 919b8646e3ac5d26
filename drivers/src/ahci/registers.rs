//! The registers (AHCI 1.3.1, chapter 3).

use bitflags::bitflags;

use crate::dma::Mmio;

/// Registers of the whole HBA, as offsets.
pub mod host {
    pub const CAP: usize = 0x00;
    pub const GHC: usize = 0x04;
    pub const IS: usize = 0x08;
    pub const PI: usize = 0x0c;
    pub const VS: usize = 0x10;
    pub const CAP2: usize = 0x24;
    pub const BOHC: usize = 0x28;
    /// Where the ports' begin.
    pub const PORTS: usize = 0x100;
    /// Bytes for each port.
    pub const PORT_SIZE: usize = 0x80;
}

/// Registers of a port, as offsets into its part.
pub mod port {
    pub const CLB: usize = 0x00;
    pub const CLBU: usize = 0x04;
    pub const FB: usize = 0x08;
    pub const FBU: usize = 0x0c;
    pub const IS: usize = 0x10;
    pub const IE: usize = 0x14;
    pub const CMD: usize = 0x18;
    pub const TFD: usize = 0x20;
    pub const SIG: usize = 0x24;
    pub const SSTS: usize = 0x28;
    pub const SCTL: usize = 0x2c;
    pub const SERR: usize = 0x30;
    pub const SACT: usize = 0x34;
    pub const CI: usize = 0x38;
}

bitflags! {
    /// CAP: what the HBA can do. The numbers in it are not flags; see [`Capabilities::slots`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Capabilities: u32 {
        /// Command list override, which clears a busy device's status.
        const SCLO = 1 << 24;
        /// Disks spin up one after the other, when told.
        const SSS = 1 << 27;
        /// Native command queuing.
        const SNCQ = 1 << 30;
        /// 64-bit addresses.
        const S64A = 1 << 31;
        const _ = !0;
    }

    /// GHC: control of the whole HBA.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HostControl: u32 {
        /// Reset; clears itself.
        const HR = 1 << 0;
        /// Interrupts are let out.
        const IE = 1 << 1;
        /// AHCI, as opposed to an older interface.
        const AE = 1 << 31;
        const _ = !0;
    }

    /// BOHC: who owns the HBA.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Handoff: u32 {
        /// The firmware owns it.
        const BOS = 1 << 0;
        /// The operating system wants it.
        const OOS = 1 << 1;
        /// Ownership has changed: write one to clear.
        const OOC = 1 << 3;
        /// The firmware has something to finish.
        const BB = 1 << 4;
        const _ = !0;
    }

    /// PxIS and PxIE: what a port has to tell.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PortEvents: u32 {
        /// A register FIS came: a command that is not queued has ended.
        const DHRS = 1 << 0;
        /// A PIO setup FIS came.
        const PSS = 1 << 1;
        /// A set device bits FIS came: queued commands have ended.
        const SDBS = 1 << 3;
        /// A FIS came that nobody knows.
        const UFS = 1 << 4;
        /// The device was plugged or unplugged; cleared through PxSERR.
        const PCS = 1 << 6;
        /// The link went up or down; cleared through PxSERR.
        const PRCS = 1 << 22;
        /// More data than there was room for.
        const OFS = 1 << 24;
        /// An error of the link that did no harm.
        const INFS = 1 << 26;
        /// An error of the link.
        const IFS = 1 << 27;
        /// Bad data from memory.
        const HBDS = 1 << 28;
        /// No access to memory.
        const HBFS = 1 << 29;
        /// The device reports an error.
        const TFES = 1 << 30;
        const _ = !0;
    }

    /// PxCMD: control of a port.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PortControl: u32 {
        /// The command list is processed.
        const ST = 1 << 0;
        /// The disk shall spin up.
        const SUD = 1 << 1;
        /// The slot has power.
        const POD = 1 << 2;
        /// Clear the status of a busy device; clears itself.
        const CLO = 1 << 3;
        /// FISes are received into memory.
        const FRE = 1 << 4;
        /// They are, still.
        const FR = 1 << 14;
        /// The command list is, still.
        const CR = 1 << 15;
        /// The power of the slot can be switched.
        const CPD = 1 << 20;
        /// The device is an ATAPI one.
        const ATAPI = 1 << 24;
        /// Wake the link.
        const ICC_ACTIVE = 1 << 28;
        const _ = !0;
    }

    /// PxTFD, low byte: the device's status.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeviceStatus: u8 {
        const ERR = 1 << 0;
        const DRQ = 1 << 3;
        const DF = 1 << 5;
        const BSY = 1 << 7;
        const _ = !0;
    }

    /// PxTFD, second byte: the device's error register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeviceError: u8 {
        /// The command was refused.
        const ABRT = 1 << 2;
        /// There is no such sector.
        const IDNF = 1 << 4;
        /// The sector cannot be read.
        const UNC = 1 << 6;
        /// The data was damaged on the link.
        const ICRC = 1 << 7;
        const _ = !0;
    }
}

impl Capabilities {
    /// Commands that a port takes at a time: 1 to 32.
    pub const fn slots(self) -> u32 {
        (self.bits() >> 8 & 0x1f) + 1
    }
}

impl PortEvents {
    /// Something is wrong, and the port may have stopped.
    pub const ERRORS: Self =
        Self::TFES.union(Self::HBFS).union(Self::HBDS).union(Self::IFS).union(Self::OFS).union(Self::UFS);
    /// The device may have come or gone.
    pub const LINK: Self = Self::PCS.union(Self::PRCS);
    /// What interrupts.
    pub const WANTED: Self =
        Self::ERRORS.union(Self::LINK).union(Self::DHRS).union(Self::PSS).union(Self::SDBS);
}

/// PxSSTS.DET and PxSCTL.DET.
pub mod detection {
    pub const MASK: u32 = 0xf;
    /// Status: nobody there.
    pub const NONE: u32 = 0;
    /// Status: a device, and the link is up.
    pub const UP: u32 = 3;
    /// Control: reset the link.
    pub const RESET: u32 = 1;
    /// Control: no power saving of the link (PxSCTL.IPM).
    pub const NO_SAVING: u32 = 3 << 8;
}

/// PxSIG: what kind of device it is.
pub mod signature {
    pub const DISK: u32 = 0x0000_0101;
    pub const ATAPI: u32 = 0xeb14_0101;
    pub const ENCLOSURE: u32 = 0xc33c_0101;
    pub const PORT_MULTIPLIER: u32 = 0x9669_0101;
}

/// The registers of one port.
#[derive(Debug)]
pub struct PortRegisters<'a, M> {
    registers: &'a M,
    base: usize,
}

impl<M> Clone for PortRegisters<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for PortRegisters<'_, M> {}

impl<'a, M: Mmio> PortRegisters<'a, M> {
    /// Those of port `index`, which is implemented and within the registers.
    pub fn new(registers: &'a M, index: u32) -> Self {
        Self { registers, base: host::PORTS + index as usize * host::PORT_SIZE }
    }

    pub fn read(self, register: usize) -> u32 {
        self.registers.read32(self.base + register)
    }

    pub fn write(self, register: usize, value: u32) {
        self.registers.write32(self.base + register, value);
    }

    pub fn control(self) -> PortControl {
        PortControl::from_bits_retain(self.read(port::CMD))
    }

    pub fn set_control(self, control: PortControl) {
        self.write(port::CMD, control.bits());
    }

    pub fn status(self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(self.read(port::TFD) as u8)
    }

    /// Whether the device could not take a command.
    pub fn is_busy(self) -> bool {
        self.status().intersects(DeviceStatus::BSY | DeviceStatus::DRQ)
    }

    /// What is at the other end: PxSSTS.DET.
    pub fn detection(self) -> u32 {
        self.read(port::SSTS) & detection::MASK
    }

    /// Reads and clears what the port has to tell, so that it can tell more. For tasks and interrupt handlers; of two
    /// at once both may see the same.
    pub fn acknowledge(self) -> PortEvents {
        let events = PortEvents::from_bits_retain(self.read(port::IS));
        if events.intersects(PortEvents::LINK | PortEvents::ERRORS | PortEvents::INFS) {
            // Some events last as long as their cause stands here.
            self.write(port::SERR, self.read(port::SERR));
        }
        if !events.is_empty() {
            self.write(port::IS, events.bits());
        }
        events
    }
}
