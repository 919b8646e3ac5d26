//! Virtio over PCI: how a virtual machine's devices are spoken to, whatever they are.
//!
//! ```text
//!   Layout     where the structures are: capabilities in configuration space     layout.rs
//!     │
//!   Transport  registers: status, features, queues, what the device is           transport.rs
//!     │
//!   Queue      rings in memory: descriptors, available, used                     queue.rs
//! ```
//!
//! Devices of version 1 are driven, those that know the older interface beside it among them. Nothing that a device says is
//! believed: a queue that says what cannot be is [`Nonsense`], and the driver resets the device.
//!
//! Of the crate `virtio-drivers` nothing is used. Its queue makes a box for each request's list of buffers and panics when
//! the device contradicts itself, its requests are slices of memory that are mapped, and it never gives a queue an interrupt
//! message. Its registers are pointers, see [`crate::dma`].
//!
//! Written after Virtual I/O Device (VIRTIO) version 1.2. Start reading with [`Transport`].

mod layout;
mod queue;
mod transport;

pub use layout::{Layout, Window};
pub use transport::{SetUpError, Transport};

pub(crate) use queue::{
    DESCRIPTOR_LEN, Descriptor, DescriptorFlags, Nonsense, Queue, fitting_size, set_descriptor,
};
pub(crate) use transport::{DeviceRegisters, Doorbell, Features, Status};

/// Who makes them, says the identity of their functions.
pub const VENDOR: u16 = 0x1af4;
