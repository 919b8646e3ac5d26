//! The task of a port.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::future::pending;

use executor::{Instant, timeout};

use super::attachment::Attachment;
use super::engine::{Absence, Engine, Trouble};
use super::hba::Hba;
use super::identify::Identity;
use super::recovery::Loss;
use super::registers::{PortEvents, detection, port};
use crate::block::{Buffer, Disk};
use crate::dma::{Dma, Mmio};

impl<M: Mmio, D: Dma> Hba<M, D> {
    /// The task of a port: brings up what is there, serves it if it is a disk, and waits for another when it is gone.
    /// `found` is told each time that it has looked. To be spawned in the driver lane, once for each port.
    ///
    /// If this is dropped, the port is stopped, and all requests end with [`BlockError::Gone`](crate::block::BlockError).
    pub async fn run<B: Buffer>(&self, index: u32, mut found: impl FnMut(Attachment<B>) + Send) -> ! {
        let mut engine = match Engine::new(self, index) {
            Ok(engine) => engine,
            Err(error) => {
                report(index, &mut found, Absence::Broken(error));
                match pending::<Infallible>().await {}
            }
        };
        loop {
            match engine.bring_up().await {
                Ok(identity) => {
                    let bell = engine.state.bell.clone();
                    let disk = Arc::new(Disk::new(identity.geometry.clone(), bell));
                    let mut attached = Attached { engine: &mut engine, disk: disk.clone() };
                    found(Attachment::Disk(disk));
                    if attached.serve(&identity).await == Loss::Replaced {
                        continue;
                    }
                }
                Err(absence) => report(index, &mut found, absence),
            }
            engine.wait_for_link().await;
        }
    }
}

fn report<B>(index: u32, found: &mut impl FnMut(Attachment<B>), absence: Absence) {
    match absence {
        Absence::Empty => log::debug!("ahci: port {index}: nothing there"),
        Absence::Other(kind) => log::info!("ahci: port {index}: {kind}, left alone"),
        Absence::Broken(error) => log::warn!("ahci: port {index}: {error}"),
    }
    found(match absence {
        Absence::Empty => Attachment::Empty,
        Absence::Other(kind) => Attachment::Other(kind),
        Absence::Broken(error) => Attachment::Broken(error),
    });
}

/// A disk at its port. When this is dropped, the disk is gone.
struct Attached<'e, 'h, M: Mmio, D: Dma, B: Buffer> {
    engine: &'e mut Engine<'h, M, D>,
    disk: Arc<Disk<B>>,
}

impl<M: Mmio, D: Dma, B: Buffer> Attached<'_, '_, M, D, B> {
    /// Serves the disk until it is lost.
    async fn serve(&mut self, identity: &Identity) -> Loss {
        let (engine, disk) = (&mut *self.engine, &self.disk);
        loop {
            if let Some(trouble) = engine.look(disk) {
                if let Err(loss) = engine.recover(disk, identity, trouble).await {
                    return loss;
                }
                continue;
            }
            engine.issue(disk, identity);
            let bell = engine.state.bell.wait();
            match engine.in_flight.deadline() {
                // Whether it rang or the time is up, the loop looks.
                Some(deadline) => drop(timeout(bell, deadline).await),
                None => bell.await,
            }
        }
    }
}

impl<M: Mmio, D: Dma, B: Buffer> Drop for Attached<'_, '_, M, D, B> {
    fn drop(&mut self) {
        self.disk.close();
        if !self.engine.in_flight.is_empty() {
            let has_stopped = self.engine.stop_now();
            self.engine.end_commands(&self.disk, has_stopped);
        }
    }
}

impl<M: Mmio, D: Dma> Engine<'_, M, D> {
    /// Ends what has ended, and tells what went wrong.
    fn look<B: Buffer>(&mut self, disk: &Disk<B>) -> Option<Trouble> {
        let trouble = self.state.take_events().trouble();
        let outcome = self.reap(disk);
        if trouble.is_some() {
            return trouble;
        }
        if let Err(trouble) = outcome {
            return Some(trouble);
        }
        if self.in_flight.overdue(Instant::now()) == 0 {
            return None;
        }
        // Its interrupt may have been lost: then it has ended, or there is an error that nobody has told of.
        self.hba.look_at(self.index);
        let trouble = self.state.take_events().trouble().or(self.reap(disk).err());
        trouble.or_else(|| (self.in_flight.overdue(Instant::now()) != 0).then_some(Trouble::Timeout))
    }

    /// Waits until something was plugged in, or out and in.
    async fn wait_for_link(&mut self) {
        self.stop().await;
        let was_up = self.registers.detection() == detection::UP;
        if was_up {
            self.forget_events();
        }
        self.registers.write(port::IE, PortEvents::LINK.bits());
        loop {
            let has_changed = self.state.take_events().intersects(PortEvents::LINK);
            if has_changed || (!was_up && self.registers.detection() == detection::UP) {
                return;
            }
            self.state.bell.wait().await;
        }
    }
}

impl<'h, M: Mmio, D: Dma> Drop for Engine<'h, M, D> {
    fn drop(&mut self) {
        if !self.stop_now() {
            // It may go on writing there.
            core::mem::forget(self.memory.clone());
        }
        self.state.release();
    }
}
