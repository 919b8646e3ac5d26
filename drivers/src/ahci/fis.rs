//! Commands as the disk gets them: register FISes from host to device (Serial ATA, 10.5.5), with the command codes and
//! register usage of ATA8-ACS.

use crate::block::Operation;

/// A register FIS, as five little-endian words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fis(pub [u32; 5]);

/// Command codes.
pub mod code {
    pub const DATA_SET_MANAGEMENT: u8 = 0x06;
    pub const READ_DMA_EXT: u8 = 0x25;
    pub const READ_LOG_EXT: u8 = 0x2f;
    pub const WRITE_DMA_EXT: u8 = 0x35;
    pub const WRITE_DMA_FUA_EXT: u8 = 0x3d;
    pub const READ_FPDMA_QUEUED: u8 = 0x60;
    pub const WRITE_FPDMA_QUEUED: u8 = 0x61;
    pub const READ_DMA: u8 = 0xc8;
    pub const WRITE_DMA: u8 = 0xca;
    pub const FLUSH_CACHE: u8 = 0xe7;
    pub const FLUSH_CACHE_EXT: u8 = 0xea;
    pub const IDENTIFY_DEVICE: u8 = 0xec;
}

/// The type of a register FIS from the host, with the bit that makes it a command.
const COMMAND: u32 = 0x27 | 1 << 15;
/// In the device register: the address counts sectors.
const LBA: u8 = 1 << 6;
/// In the device register of a queued write: forced to the medium.
const FUA: u8 = 1 << 7;
/// In the features of DATA SET MANAGEMENT.
const TRIM: u16 = 1;
/// The log that tells which queued command failed.
const QUEUED_ERROR_LOG: u64 = 0x10;

/// Which of its forms a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Queued, under this tag.
    Queued(u32),
    /// By itself, with addresses of 48 bits.
    Extended,
    /// By itself, with addresses of 28 bits.
    Short,
}

impl Fis {
    fn new(command: u8, features: u16, address: u64, device: u8, count: u16) -> Self {
        let [low, high] = features.to_le_bytes().map(u32::from);
        Self([
            COMMAND | u32::from(command) << 16 | low << 24,
            address as u32 & 0xff_ffff | u32::from(device) << 24,
            (address >> 24) as u32 & 0xff_ffff | high << 24,
            u32::from(count),
            0,
        ])
    }

    /// What the device is.
    pub fn identify() -> Self {
        Self::new(code::IDENTIFY_DEVICE, 0, 0, 0, 0)
    }

    /// Which queued command failed; one page of 512 bytes.
    pub fn read_error_log() -> Self {
        Self::new(code::READ_LOG_EXT, 0, QUEUED_ERROR_LOG, 0, 1)
    }

    /// An operation on `count` logical sectors from `address`, which the form can express; the largest count is written
    /// as zero. `fua`: the disk knows how to force writes.
    pub fn operation(operation: Operation, form: Form, address: u64, count: u32, fua: bool) -> Self {
        let forced = fua && operation == Operation::Write { fua: true };
        let is_read = operation == Operation::Read;
        match (operation, form) {
            (Operation::Flush, Form::Short) => Self::new(code::FLUSH_CACHE, 0, 0, 0, 0),
            (Operation::Flush, _) => Self::new(code::FLUSH_CACHE_EXT, 0, 0, 0, 0),
            (Operation::Discard { .. }, _) => Self::new(code::DATA_SET_MANAGEMENT, TRIM, 0, LBA, 1),
            (_, Form::Queued(tag)) => {
                let command = if is_read { code::READ_FPDMA_QUEUED } else { code::WRITE_FPDMA_QUEUED };
                let device = if forced { LBA | FUA } else { LBA };
                Self::new(command, count as u16, address, device, (tag << 3) as u16)
            }
            (_, Form::Extended) => {
                let command = match (is_read, forced) {
                    (true, _) => code::READ_DMA_EXT,
                    (false, true) => code::WRITE_DMA_FUA_EXT,
                    (false, false) => code::WRITE_DMA_EXT,
                };
                Self::new(command, 0, address, LBA, count as u16)
            }
            (_, Form::Short) => {
                let command = if is_read { code::READ_DMA } else { code::WRITE_DMA };
                let device = LBA | (address >> 24) as u8 & 0xf;
                Self::new(command, 0, address & 0xff_ffff, device, (count as u8).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(fis: Fis) -> [u8; 20] {
        let mut bytes = [0; 20];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(fis.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Byte for byte as the standards' tables have it.
    #[test]
    fn fields_are_where_the_standard_has_them() {
        let write = Operation::Write { fua: true };
        let queued = Fis::operation(write, Form::Queued(5), 0x0605_0403_0201, 0x0807, true);
        #[rustfmt::skip]
        assert_eq!(bytes(queued), [
            0x27, 0x80, 0x61, 0x07, 1, 2, 3, 0xc0, 4, 5, 6, 0x08, 5 << 3, 0, 0, 0, 0, 0, 0, 0,
        ]);
        let single = Fis::operation(write, Form::Extended, 0x0605_0403_0201, 0x0807, true);
        #[rustfmt::skip]
        assert_eq!(bytes(single), [
            0x27, 0x80, 0x3d, 0, 1, 2, 3, 0x40, 4, 5, 6, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0,
        ]);
        let short = Fis::operation(Operation::Read, Form::Short, 0x0403_0201, 256, false);
        #[rustfmt::skip]
        assert_eq!(bytes(short), [
            0x27, 0x80, 0xc8, 0, 1, 2, 3, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        let whole = Fis::operation(Operation::Read, Form::Queued(31), 0, 0x1_0000, false);
        assert_eq!((bytes(whole)[3], bytes(whole)[11], bytes(whole)[12]), (0, 0, 31 << 3));
    }
}
