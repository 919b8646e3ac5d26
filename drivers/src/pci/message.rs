//! Interrupts without a line: the function writes a word to an address that is no memory but an interrupt controller.

use super::ConfigRegionAccess;
use crate::dma::Mmio;
use pci_types::capability::{MsiCapability, MsixCapability, MultipleMessageSupport};

/// What is written where. On x86 both say which CPU and which vector (Intel SDM volume 3, 11.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub address: u64,
    /// What.
    pub data: u32,
}

/// How a function sends messages.
#[derive(Clone, Copy, Debug)]
pub enum Messages {
    /// MSI: one message, in configuration space.
    Single(MsiCapability),
    /// MSI-X: a table of messages among the function's registers.
    Table(MsixCapability),
}

/// Bytes of an entry of the table: address, data, and a word whose lowest bit says that it is silent.
const ENTRY: usize = 16;

impl Messages {
    /// Where the table is: the base address register, and the offset and length in bytes.
    pub fn table(&self) -> Option<(usize, u64, usize)> {
        match self {
            Messages::Single(_) => None,
            Messages::Table(table) => {
                let len = usize::from(table.table_size()) * ENTRY;
                Some((usize::from(table.table_bar()), u64::from(table.table_offset()), len))
            }
        }
    }

    /// Has the function send `message` for everything that it wants to say. `table` are the registers that
    /// [`table`](Self::table) has named.
    pub fn send_one<A: ConfigRegionAccess>(&self, access: &A, message: Message, table: Option<&impl Mmio>) {
        match (*self, table) {
            (Messages::Single(single), _) => {
                single.set_enabled(false, access);
                single.set_multiple_message_enable(MultipleMessageSupport::Int1, access);
                single.set_message_info(message.address, message.data, access);
                single.set_enabled(true, access);
            }
            (Messages::Table(mut capability), Some(table)) => {
                capability.set_function_mask(true, access);
                capability.set_enabled(true, access);
                for entry in 0..usize::from(capability.table_size()) {
                    let at = entry * ENTRY;
                    table.write32(at, message.address as u32);
                    table.write32(at + 4, (message.address >> 32) as u32);
                    table.write32(at + 8, message.data);
                    table.write32(at + 12, 0);
                }
                capability.set_function_mask(false, access);
            }
            (Messages::Table(_), None) => {}
        }
    }
}
