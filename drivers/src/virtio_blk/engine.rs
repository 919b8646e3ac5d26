//! A disk's machinery: bringing it up, and the one command of the driver's own.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use executor::{Instant, timeout};

use super::config::{Abilities, Config, Identity};
use super::memory::{DEPTH, Kind, Memory, NO_STATUS, status};
use super::task::Interrupt;
use crate::block::InFlight;
use crate::dma::{Dma, NarrowMmio};
use crate::virtio::{Doorbell, SetUpError, Status, Transport};

/// The queue that is used.
const QUEUE: u16 = 0;
/// How long a disk may take to tell its name.
const OWN_COMMAND: Duration = Duration::from_secs(10);
/// Bytes of a disk's name.
const ID_LEN: usize = 20;

/// Why a disk does not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BringUpError {
    /// The device is not brought up.
    SetUp(SetUpError),
    /// There is no memory for it.
    NoMemory,
    /// What it says of itself makes no sense.
    Nonsense,
    /// It does not answer a command.
    NoAnswer,
}

impl From<SetUpError> for BringUpError {
    fn from(error: SetUpError) -> Self {
        Self::SetUp(error)
    }
}

impl fmt::Display for BringUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetUp(error) => error.fmt(f),
            Self::NoMemory => f.write_str("no memory for it"),
            Self::Nonsense => f.write_str("what it says of itself makes no sense"),
            Self::NoAnswer => f.write_str("it does not answer"),
        }
    }
}

impl core::error::Error for BringUpError {}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The device asks for a reset.
    NeedsReset,
    /// A command was not answered in time.
    Timeout,
    /// The device said what cannot be.
    Nonsense,
}

/// A disk that is up, with its memory and its commands. Whoever drops it resets the device.
pub struct Engine<M: NarrowMmio, D: Dma> {
    pub transport: Transport<M>,
    pub interrupt: Interrupt,
    pub memory: Memory<D::Region>,
    doorbell: Doorbell,
    pub identity: Identity,
    /// What is in the hands of the device, by slot.
    pub in_flight: InFlight<DEPTH>,
    /// Resets since a command ended.
    pub setbacks: u32,
}

/// Resets a device and learns what it is.
async fn identify<M: NarrowMmio>(transport: &Transport<M>) -> Result<Identity, BringUpError> {
    if !transport.reset().await {
        return Err(SetUpError::Reset.into());
    }
    let features = transport.negotiate(Abilities::all().bits())?;
    let queue_size = transport.queue_size(QUEUE);
    if queue_size == 0 {
        return Err(SetUpError::Queue.into());
    }
    let config = transport.consistent(|registers| Config::read(registers))?;
    config.parse(features, queue_size).ok_or(BringUpError::Nonsense)
}

impl<M: NarrowMmio, D: Dma> Engine<M, D> {
    /// Brings a disk up for the first time.
    pub async fn start(transport: Transport<M>, dma: &D, interrupt: Interrupt) -> Result<Self, BringUpError> {
        let brought_up = async {
            let identity = identify(&transport).await?;
            let mut memory = Memory::allocate(dma, identity.shape).ok_or(BringUpError::NoMemory)?;
            memory.clear();
            let doorbell = transport.set_up_queue(QUEUE, &memory.queue)?;
            Ok((identity, memory, doorbell))
        };
        let (identity, memory, doorbell) = match brought_up.await {
            Ok(parts) => parts,
            Err(error) => {
                transport.fail();
                return Err(error);
            }
        };
        let in_flight = InFlight::new();
        let mut engine = Self { transport, interrupt, memory, doorbell, identity, in_flight, setbacks: 0 };
        engine.transport.start()?;
        engine.identity.geometry.serial = engine.ask_id().await?.unwrap_or_default();
        Ok(engine)
    }

    /// Brings it up again, whatever has become of it, and tells what it is now. All that it had in its hands it has let go
    /// of as soon as it is reset.
    pub async fn restart(&mut self) -> Result<Identity, BringUpError> {
        let mut identity = identify(&self.transport).await?;
        if identity.shape != self.identity.shape {
            return Ok(identity);
        }
        self.memory.clear();
        self.doorbell = self.transport.set_up_queue(QUEUE, &self.memory.queue)?;
        self.transport.start()?;
        let id = self.ask_id().await?;
        identity.geometry.serial = id.unwrap_or_else(|| self.identity.geometry.serial.clone());
        Ok(identity)
    }

    /// Shows the device what is in the queue.
    pub fn show(&mut self) {
        if self.memory.queue.show() {
            self.transport.ring(self.doorbell);
        }
    }

    /// Whether the device asks for a reset.
    pub fn needs_reset(&self) -> bool {
        self.transport.status().contains(Status::NEEDS_RESET)
    }

    /// The disk's name for itself; None if it does not tell. It has been brought up just now.
    async fn ask_id(&mut self) -> Result<Option<String>, BringUpError> {
        self.memory.set_scratch(0, &[0; ID_LEN / 4], ID_LEN, true);
        self.memory.offer(0, Kind::GetId, 0, 1);
        self.show();
        let deadline = Instant::now() + OWN_COMMAND;
        loop {
            let is_late = Instant::now() >= deadline;
            match self.memory.take() {
                Ok(Some((0, _))) => break,
                Ok(Some(_)) | Err(_) => return Err(BringUpError::Nonsense),
                Ok(None) if self.needs_reset() => return Err(SetUpError::Broken.into()),
                Ok(None) if is_late => return Err(BringUpError::NoAnswer),
                Ok(None) => {}
            }
            if self.memory.queue.listen() {
                // Whether it rang or it is late, the loop looks.
                let _ = timeout(self.interrupt.bell().wait(), deadline).await;
            }
        }
        match self.memory.status(0) {
            status::OK => {}
            NO_STATUS => return Err(BringUpError::Nonsense),
            _ => return Ok(None),
        }
        let id = self.memory.scratch(0);
        let text = id[..ID_LEN].iter().take_while(|byte| **byte != 0);
        let visible = |&byte: &u8| if matches!(byte, b' '..=b'~') { byte as char } else { ' ' };
        Ok(Some(text.map(visible).collect::<String>().trim().into()))
    }
}

impl<M: NarrowMmio, D: Dma> Drop for Engine<M, D> {
    fn drop(&mut self) {
        if !self.transport.reset_now() {
            // It may go on writing there.
            self.memory.keep_for_ever();
        }
    }
}
