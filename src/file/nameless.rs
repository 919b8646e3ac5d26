//! Files in memory that no directory has (memfd_create(2)).

use alloc::{sync::Arc, vec::Vec};

use executor::sync::Mutex;
use fs::{LookupFlags, OpenFlags, View};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::File;
use crate::{process::Caller, root};

/// Makes such a file, open for reading and writing. `/proc` shows it as `/memfd:NAME (deleted)`: it has that name for a
/// moment. Slashes, which no name can hold, are shown as `|`.
pub async fn create(caller: &Caller, name: &[u8], may_be_sealed: bool) -> Result<Arc<File>, Errno> {
    /// Held while a file has its name, as others may want the same.
    static NAMING: Mutex<()> = Mutex::new(());
    let mut path: Vec<u8> = b"memfd:".to_vec();
    path.extend(name.iter().map(|byte| if *byte == b'/' { b'|' } else { *byte }));
    let directory = root::nameless();
    let view = View { root: &directory, start: &directory, credentials: &caller.credentials.fs, umask: 0 };
    let flags = linux::O_RDWR | linux::O_CREAT | linux::O_EXCL;
    let opened = {
        let _naming = NAMING.lock().await;
        let wanted = OpenFlags::from_bits_retain(flags);
        let opened = view.open(&path, wanted, 0o777, LookupFlags::empty()).await?;
        view.unlink(&path).await?;
        opened
    };
    if may_be_sealed && let Some(seals) = opened.path.inode().seals() {
        seals.allow();
    }
    Ok(File::nameless(opened, flags))
}
