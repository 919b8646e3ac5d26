//! Setting loop devices up and taking them apart (`<linux/loop.h>`, loop(4)).
//!
//! Whoever asks for a change holds the disk's control; and it is made in a task, so that it is whole whatever becomes of
//! the asker ([`Loop::change`]).

use alloc::sync::Arc;
use core::sync::atomic::Ordering::{AcqRel, Release};

use fs::{Inode, Result};
use syscalls::Errno;

use super::{
    Loop, ORDER, SETTLED, SETTLING,
    binding::{Backing, Binding, Flags, Settings},
    device::Departure,
};
use crate::device::partitions;

impl Loop {
    /// Makes a change that is not left half made, with nobody else at the device. By somebody who has it open; until the change is
    /// made, the request counts as a user, too.
    async fn change<F>(self: &Arc<Self>, change: impl FnOnce(Arc<Self>) -> F + Send + 'static) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send,
    {
        let this = self.clone();
        let disk = this.disk.clone();
        let opening = disk.inode().clone().open();
        let task = executor::try_spawn(async move {
            let _opening = opening;
            let _control = disk.control().await;
            change(this).await
        });
        task.map_err(|_| Errno::ENOMEM)?.await.unwrap_or(Err(Errno::EIO))
    }

    fn bound(&self) -> Result<Arc<Binding>> {
        self.binding().ok_or(Errno::ENXIO)
    }

    /// Gives the device a file.
    ///
    /// # Errors
    /// EBUSY if it has one; those of [`Backing::check`]; what `settings` finds wrong then.
    pub async fn configure(
        self: &Arc<Self>,
        backing: Backing,
        settings: impl FnOnce() -> Result<Settings> + Send + 'static,
    ) -> Result<()> {
        self.change(|this| async move {
            let flags = {
                let _order = ORDER.lock();
                if !this.device.is_unbound() {
                    return Err(Errno::EBUSY);
                }
                backing.check(&this)?;
                let settings = settings()?;
                let flags = settings.flags;
                this.device.bind(Binding::new(backing, settings));
                flags
            };
            this.disk.inode().resize().await;
            if flags.contains(Flags::PARTSCAN) {
                partitions::find(&this.disk).await;
            }
            Ok(())
        })
        .await
    }

    /// Shows another file of the same size.
    ///
    /// # Errors
    /// ENXIO without a file; EINVAL if it can be written to, or the size differs; those of [`Backing::check`].
    pub async fn change_file(self: &Arc<Self>, backing: Backing) -> Result<()> {
        self.change(|this| async move {
            let old = this.bound()?;
            let settings = {
                let _order = ORDER.lock();
                if !old.flags().contains(Flags::READ_ONLY) {
                    return Err(Errno::EINVAL);
                }
                backing.check(&this)?;
                let settings = old.settings().clone();
                if backing.size(&settings) != old.backing().size(&settings) {
                    return Err(Errno::EINVAL);
                }
                this.device.bind(Binding::new(backing, settings.clone()));
                settings
            };
            drop(old);
            this.disk.inode().empty().await?;
            this.scan_again(settings.flags).await
        })
        .await
    }

    /// Takes the device's file, or has it go with the last user if there are others than the caller.
    ///
    /// # Errors
    /// ENXIO without a file.
    pub async fn clear(self: &Arc<Self>) -> Result<()> {
        self.change(|this| async move {
            if this.device.begin_to_leave()? {
                this.take_apart().await;
            }
            Ok(())
        })
        .await
    }

    /// Changes how the file is shown: offset, limit and name, and the flags that can be changed.
    ///
    /// # Errors
    /// ENXIO without a file; what `wanted` finds wrong then.
    pub async fn set_settings(
        self: &Arc<Self>,
        wanted: impl FnOnce(&Settings) -> Result<Settings> + Send + 'static,
    ) -> Result<()> {
        self.change(|this| async move {
            let old = this.bound()?;
            let before = old.settings();
            let mut settings = wanted(before)?;
            settings.flags &= Flags::SETTABLE_LATER;
            settings.flags |= before.flags.difference(Flags::SETTABLE_LATER);
            settings.flags |= before.flags.difference(Flags::CLEARABLE_LATER);
            let flags = settings.flags;
            if (settings.offset, settings.size_limit) == (before.offset, before.size_limit) {
                this.device.bind(old.with(settings));
            } else {
                // What was written goes where it was written to, and what is read from now on comes from where it is now.
                let inode = this.disk.inode();
                let _ = inode.fsync(false).await;
                this.device.bind(Binding::new(old.backing().clone(), settings));
                inode.resize().await;
                let _ = inode.empty().await;
            }
            let newly = flags.difference(before.flags);
            this.scan_again(newly).await
        })
        .await
    }

    /// The file has another size: the device, too.
    ///
    /// # Errors
    /// ENXIO without a file.
    pub async fn set_capacity(self: &Arc<Self>) -> Result<()> {
        self.change(|this| async move {
            let old = this.bound()?;
            this.device.bind(Binding::new(old.backing().clone(), old.settings().clone()));
            this.disk.inode().resize().await;
            Ok(())
        })
        .await
    }

    /// Changes the size of sectors.
    ///
    /// # Errors
    /// ENXIO without a file.
    pub async fn set_block_size(self: &Arc<Self>, bytes: u32) -> Result<()> {
        self.change(move |this| async move {
            let old = this.bound()?;
            this.device.bind(old.with(Settings { block_size: bytes, ..old.settings().clone() }));
            Ok(())
        })
        .await
    }

    async fn scan_again(&self, flags: Flags) -> Result<()> {
        if flags.contains(Flags::PARTSCAN)
            && let Err(errno) = partitions::find_again(&self.disk).await
        {
            // As on Linux, nobody is told.
            log::warn!("{}: partitions stay as they were: {errno}", self.disk.name);
        }
        Ok(())
    }

    /// Gives the file up. All that was written goes to it before. With the control of the disk.
    async fn take_apart(&self) {
        partitions::forget(&self.disk).await;
        if let Err(errno) = self.disk.inode().fsync(false).await {
            log::warn!("{}: what was written is lost: {errno}", self.disk.name);
        }
        self.device.unbind();
        self.disk.inode().resize().await;
    }

    /// Does what follows when the last user has left, until the device is removed: what was written goes to the file, and
    /// nothing stays in memory, so that others may change the file; with AUTOCLEAR the file is given up.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            self.device.left.notified().await;
            let is_counted = self.device.is_settling.swap(false, AcqRel);
            let is_over = {
                let _control = self.disk.control().await;
                match self.device.departure() {
                    Departure::None => false,
                    Departure::Close => {
                        for disk in self.disk.parts().iter().chain([&self.disk]) {
                            if let Err(errno) = disk.inode().empty().await {
                                log::warn!("{}: what was written is lost: {errno}", disk.name);
                            }
                        }
                        false
                    }
                    Departure::Clear => {
                        self.take_apart().await;
                        false
                    }
                    Departure::End => true,
                }
            };
            if is_counted {
                SETTLING.fetch_sub(1, Release);
                SETTLED.wake_all();
            }
            if is_over {
                return;
            }
        }
    }

    /// Looks again at what the device is divided into.
    ///
    /// # Errors
    /// EINVAL if it has no partitions, EBUSY if one is in use.
    pub fn check_divisible(&self) -> Result<()> {
        let is_divisible = self.binding().is_some_and(|binding| binding.flags().contains(Flags::PARTSCAN));
        if is_divisible { Ok(()) } else { Err(Errno::EINVAL) }
    }
}
