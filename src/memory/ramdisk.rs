//! The archive of files that the boot loader left in memory.

use bootloader_api::BootInfo;

use super::frame;

/// The archive's memory. Reading it ends with [`free`](Ramdisk::free).
pub struct Ramdisk(&'static [u8]);

impl Ramdisk {
    /// What the boot loader left; empty if there is nothing, or if it was taken already.
    pub fn of(boot: &mut BootInfo) -> Self {
        use bootloader_api::info::Optional;
        match core::mem::replace(&mut boot.ramdisk_addr, Optional::None).into_option() {
            // SAFETY: the boot hand-off says that the archive lies there in the direct map; the memory map keeps it
            // from being used for anything else, nothing writes to it, and the address is taken out of the hand-off.
            Some(address) => Self(unsafe {
                core::slice::from_raw_parts(
                    core::ptr::with_exposed_provenance(address as usize),
                    boot.ramdisk_len as usize,
                )
            }),
            None => Self(&[]),
        }
    }

    /// The archive.
    pub fn bytes(&self) -> &[u8] {
        self.0
    }

    /// Gives the memory to the frame allocator, letting others run in between.
    pub async fn free(self) {
        /// Bytes at a time; whole frames.
        const PART: u64 = 4 << 20;
        if self.0.is_empty() {
            return;
        }
        let mut start = frame::physical_of(self.0.as_ptr().addr());
        let end = start + self.0.len() as u64;
        while start < end {
            let next = ((start + PART) & !(PART - 1)).min(end);
            frame::donate(start, next);
            start = next;
            executor::yield_now().await;
        }
    }
}
