//! The task of a disk.

use alloc::sync::Arc;
use core::time::Duration;
use executor::atomic::{AtomicBool, Ordering::Relaxed};

use executor::{Instant, timeout, yield_now};

use super::engine::{BringUpError, Engine, Trouble};
use super::recovery::Loss;
use crate::bell::Bell;
use crate::block::{Buffer, Disk};
use crate::dma::{Dma, NarrowMmio};
use crate::virtio::Transport;

/// How often a device that has commands is asked how it is.
const PATROL: Duration = Duration::from_secs(5);

/// What a disk's interrupt handler needs.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Signal>);

#[derive(Default)]
struct Signal {
    /// One has come since the task looked. Relaxed: the bell orders.
    has_come: AtomicBool,
    bell: Arc<Bell>,
}

impl Interrupt {
    /// The interrupt handler: wakes the task. Takes no lock, allocates nothing, and touches no register.
    pub fn raise(&self) {
        self.0.has_come.store(true, Relaxed);
        self.0.bell.ring();
    }

    /// Whether one has come since the last call.
    fn take(&self) -> bool {
        self.0.has_come.swap(false, Relaxed)
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.0.bell
    }
}

/// The driver of one disk. See the module's documentation.
pub struct Driver<M, D> {
    transport: Transport<M>,
    dma: D,
    interrupt: Interrupt,
}

impl<M: NarrowMmio, D: Dma> Driver<M, D> {
    /// For the device with these registers, which is not touched yet; and what has to be raised at its interrupts, of which
    /// it uses the first message of its table.
    pub fn new(transport: Transport<M>, dma: D) -> (Self, Interrupt) {
        let interrupt = Interrupt::default();
        (Self { transport, dma, interrupt: interrupt.clone() }, interrupt)
    }

    /// The task: brings the disk up, tells `found`, and serves it until it is lost. To be spawned in the driver lane.
    ///
    /// If this is dropped, the device is reset, and all requests end with [`BlockError::Gone`](crate::block::BlockError).
    pub async fn run<B: Buffer>(self, found: impl FnOnce(Result<Arc<Disk<B>>, BringUpError>) + Send) {
        let engine = match Engine::start(self.transport, &self.dma, self.interrupt).await {
            Ok(engine) => engine,
            Err(error) => return found(Err(error)),
        };
        let disk = Disk::new(engine.identity.geometry.clone(), engine.interrupt.bell().clone());
        let mut served = Served { engine, disk: Arc::new(disk) };
        found(Ok(served.disk.clone()));
        let loss = served.serve().await;
        log::warn!("virtio-blk: {} is lost: {loss:?}", served.engine.identity.geometry.serial);
        let has_reset = served.engine.transport.reset().await;
        served.engine.lose(&served.disk, has_reset);
    }
}

/// A disk that is served. When this is dropped, the disk is gone.
struct Served<M: NarrowMmio, D: Dma, B: Buffer> {
    engine: Engine<M, D>,
    disk: Arc<Disk<B>>,
}

impl<M: NarrowMmio, D: Dma, B: Buffer> Served<M, D, B> {
    /// Serves the disk until it is lost.
    async fn serve(&mut self) -> Loss {
        let (engine, disk) = (&mut self.engine, &self.disk);
        let mut patrol = Instant::now();
        loop {
            let now = Instant::now();
            let is_patrol = patrol <= now;
            if is_patrol {
                patrol = now + PATROL;
            }
            if let Some(trouble) = engine.look(disk, now, is_patrol) {
                if let Err(loss) = engine.recover(disk, trouble).await {
                    return loss;
                }
                continue;
            }
            engine.issue(disk, now);
            if !engine.memory.queue.listen() {
                // However fast the device is, others have their turn.
                yield_now().await;
                continue;
            }
            let bell = engine.interrupt.bell().wait();
            match engine.in_flight.deadline() {
                // Whether it rang or the time is up, the loop looks.
                Some(deadline) => drop(timeout(bell, deadline.min(patrol)).await),
                None => bell.await,
            }
        }
    }
}

impl<M: NarrowMmio, D: Dma> Engine<M, D> {
    /// Ends what has ended, and tells what went wrong.
    fn look<B: Buffer>(&mut self, disk: &Disk<B>, now: Instant, is_patrol: bool) -> Option<Trouble> {
        let was_interrupted = self.interrupt.take();
        match self.reap(disk) {
            Err(_) => return Some(Trouble::Nonsense),
            // It wanted to say something else, or says nothing any more.
            Ok(0) if (was_interrupted || is_patrol) && self.needs_reset() => {
                return Some(Trouble::NeedsReset);
            }
            Ok(_) => {}
        }
        (self.in_flight.overdue(now) != 0).then_some(Trouble::Timeout)
    }
}

impl<M: NarrowMmio, D: Dma, B: Buffer> Drop for Served<M, D, B> {
    fn drop(&mut self) {
        let has_reset = self.engine.in_flight.is_empty() || self.engine.transport.reset_now();
        self.engine.lose(&self.disk, has_reset);
    }
}
