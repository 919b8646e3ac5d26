//! Devices: none are found. What serves those that need no hardware is the kernel's own.

#[path = "../../../../src/device/block.rs"]
mod block;
pub mod bus;
#[path = "../../../../src/device/disk.rs"]
pub mod disk;
#[path = "../../../../src/device/loops/mod.rs"]
pub mod loops;
#[path = "../../../../src/device/partitions.rs"]
pub mod partitions;
#[path = "../../../../src/device/span.rs"]
mod span;
#[path = "../../../../src/device/traffic.rs"]
pub mod traffic;
#[path = "../../../../src/device/volume.rs"]
pub mod volume;

/// All that there is is known from the start.
pub async fn settled() {}
