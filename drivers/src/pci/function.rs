//! A function: what drivers are for.

use super::bar::{self, BARS, Bar};
use super::message::Messages;
use super::{ConfigRegionAccess, HeaderType, PciAddress};
use pci_types::capability::PciCapability;
use pci_types::{CommandRegister, EndpointHeader, PciHeader};

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// 1: mass storage, 2: network, 6: bridge, ...
    pub base: u8,
    /// Within that: 1.6 is SATA, 2.0 Ethernet.
    pub sub: u8,
    /// How it is spoken to: 1.6.1 is AHCI.
    pub interface: u8,
}

/// One function of a device.
#[derive(Clone, Debug)]
pub struct Function {
    /// Where its configuration space is.
    pub address: PciAddress,
    /// Who has made it.
    pub vendor: u16,
    /// The maker's number for it.
    pub device: u16,
    /// What it is for.
    pub class: Class,
    /// The maker's revision.
    pub revision: u8,
    /// Who has made the card that it is on, and their number for it. Bridges have none.
    pub subsystem: Option<(u16, u16)>,
    /// A device or a bridge.
    pub kind: HeaderType,
    /// Where its registers are. The second half of a wide one is None.
    pub bars: [Option<Bar>; BARS],
}

/// Most capabilities that fit into 192 bytes.
const MOST_CAPABILITIES: usize = 48;

impl Function {
    /// Reads what is at an address; None if nothing is there.
    pub(super) fn read<A: ConfigRegionAccess>(access: &A, address: PciAddress) -> Option<Self> {
        let header = PciHeader::new(address);
        let (vendor, device) = header.id(access);
        if vendor == 0xffff {
            return None;
        }
        let (revision, base, sub, interface) = header.revision_and_class(access);
        let kind = header.header_type(access);
        let subsystem = EndpointHeader::from_header(header, access).map(|endpoint| {
            let (device, vendor) = endpoint.subsystem(access);
            (vendor, device)
        });
        let class = Class { base, sub, interface };
        let bars = bar::read_all(access, address, kind);
        Some(Function { address, vendor, device, class, revision, subsystem, kind, bars })
    }

    /// Has it listen at its memory addresses and read and write memory by itself; its interrupt line is silent.
    pub fn enable<A: ConfigRegionAccess>(&self, access: &A) {
        PciHeader::new(self.address).update_command(access, |command| {
            command
                | CommandRegister::MEMORY_ENABLE
                | CommandRegister::BUS_MASTER_ENABLE
                | CommandRegister::INTERRUPT_DISABLE
        });
    }

    /// How it can interrupt without a line: by MSI-X if it can, or else by MSI.
    pub fn messages<A: ConfigRegionAccess>(&self, access: &A) -> Option<Messages> {
        if !self.has_sound_capabilities(access) {
            return None;
        }
        let endpoint = EndpointHeader::from_header(PciHeader::new(self.address), access)?;
        let mut found = None;
        for capability in endpoint.capabilities(access).take(MOST_CAPABILITIES) {
            match capability {
                PciCapability::MsiX(table) if self.bars.get(usize::from(table.table_bar())).is_some() => {
                    return Some(Messages::Table(table));
                }
                PciCapability::Msi(single) => found = Some(Messages::Single(single)),
                _ => {}
            }
        }
        found
    }

    /// Where in configuration space the capabilities are that the maker of the function has defined.
    pub fn vendor_capabilities<A: ConfigRegionAccess>(&self, access: &A) -> impl Iterator<Item = u16> {
        let is_sound = self.has_sound_capabilities(access);
        let header = PciHeader::new(self.address);
        let endpoint = is_sound.then(|| EndpointHeader::from_header(header, access)).flatten();
        let all = endpoint.map(|endpoint| endpoint.capabilities(access).take(MOST_CAPABILITIES));
        all.into_iter().flatten().filter_map(|capability| match capability {
            PciCapability::Vendor(place) => Some(place.offset),
            _ => None,
        })
    }

    /// Whether the list of capabilities has an end. That of a device that is broken or gone may have none.
    fn has_sound_capabilities<A: ConfigRegionAccess>(&self, access: &A) -> bool {
        const HAS_LIST: u32 = 1 << 20;
        const LIST: u16 = 0x34;
        // SAFETY: reading the header and the list has no effects.
        let read = |register| unsafe { access.read(self.address, register) };
        if self.kind != HeaderType::Endpoint || read(4) & HAS_LIST == 0 {
            return false;
        }
        let mut at = read(LIST) as u8;
        for _ in 0..MOST_CAPABILITIES {
            match at {
                0 => return true,
                1..0x40 => return false,
                _ if !at.is_multiple_of(4) => return false,
                _ => at = (read(u16::from(at)) >> 8) as u8,
            }
        }
        false
    }
}
