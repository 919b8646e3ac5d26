//! Check sums: CRC-32C over nearly all metadata, CRC-16 over group descriptors of file systems without the former.

use crc::{Algorithm, CRC_16_MODBUS, Crc, Table};

/// CRC-32C as ext4 and jbd2 use it: what goes in is not complemented, what comes out neither.
const RAW_CRC32C: Algorithm<u32> = Algorithm {
    width: 32,
    poly: 0x1edc_6f41,
    init: 0,
    refin: true,
    refout: true,
    xorout: 0,
    check: 0,
    residue: 0,
};

static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&RAW_CRC32C);
static CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);

/// What a sum over nothing begins with.
pub const START: u32 = !0;

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(has_crc32, "sse4.2");

/// Goes on with a sum.
pub fn crc32c(before: u32, data: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if has_crc32::get() {
        // SAFETY: the CPU has the instruction.
        return unsafe { by_instruction(before, data) };
    }
    by_table(before, data)
}

/// With the instruction that CPUs with SSE 4.2 have for just this sum.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn by_instruction(before: u32, data: &[u8]) -> u32 {
    use core::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};
    let (words, rest) = data.as_chunks();
    let sum = words.iter().fold(before.into(), |sum, word| _mm_crc32_u64(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum as u32, |sum, byte| _mm_crc32_u8(sum, *byte))
}

fn by_table(before: u32, data: &[u8]) -> u32 {
    // The crate takes the bits of the register in the order before reflection.
    let mut digest = CRC32C.digest_with_initial(before.reverse_bits());
    digest.update(data);
    digest.finalize()
}

/// The sum of several parts.
pub fn crc16(parts: &[&[u8]]) -> u16 {
    let mut digest = CRC16.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_known_ones_and_go_on() {
        assert_eq!(!crc32c(START, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(crc32c(START, b"1234"), b"56789"), crc32c(START, b"123456789"));
        let data: [u8; 100] = core::array::from_fn(|at| (at * 37) as u8);
        for len in 0..data.len() {
            assert_eq!(crc32c(5, &data[..len]), by_table(5, &data[..len]));
        }
        assert_eq!(crc16(&[b"1234", b"56789"]), 0x4b37);
    }
}
