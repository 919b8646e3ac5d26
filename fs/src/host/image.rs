//! A disk that is a file on the host.

use crate::{
    Device, Op, Result,
    block::{BlockDevice, Direction, Transfer},
};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use syscalls::Errno;

/// A disk image in a file. Each transfer and flush waits for one turn of the executor, as a disk makes its callers wait.
pub struct Image {
    file: Arc<File>,
    size: u64,
    read_only: bool,
    device: Device,
}

impl Image {
    /// Opens an image; what is behind the last whole sector is left out.
    ///
    /// # Errors
    /// The host's.
    pub fn open(path: &Path, read_only: bool) -> std::io::Result<Arc<Self>> {
        let file = OpenOptions::new().read(true).write(!read_only).open(path)?;
        let size = file.metadata()?.len() / 512 * 512;
        Ok(Arc::new(Image { file: Arc::new(file), size, read_only, device: Device::new(8, 0) }))
    }
}

fn io_error(_: std::io::Error) -> Errno {
    Errno::EIO
}

fn carry_out(file: &File, transfer: &Transfer) -> Result<()> {
    let mut at = transfer.offset;
    for piece in &transfer.pieces {
        let mut bytes = vec![0; piece.len()];
        match transfer.direction {
            Direction::Read => {
                file.read_exact_at(&mut bytes, at).map_err(io_error)?;
                piece.page().write(piece.offset(), &bytes);
            }
            Direction::Write => {
                bytes.copy_from_slice(&piece.page().bytes()[piece.offset()..][..piece.len()]);
                file.write_all_at(&bytes, at).map_err(io_error)?;
            }
        }
        at += piece.len() as u64;
    }
    if transfer.force_unit_access { file.sync_data().map_err(io_error) } else { Ok(()) }
}

impl BlockDevice for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        512
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn device(&self) -> Device {
        self.device
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        if !transfer.fits(self.size, self.sector_size()) {
            return Op::Ready(Err(Errno::EIO));
        }
        if transfer.direction == Direction::Write && self.read_only {
            return Op::Ready(Err(Errno::EROFS));
        }
        let file = self.file.clone();
        Op::waiting(async move {
            executor::yield_now().await;
            carry_out(&file, &transfer)
        })
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        let file = self.file.clone();
        Op::waiting(async move {
            executor::yield_now().await;
            file.sync_data().map_err(io_error)
        })
    }
}
