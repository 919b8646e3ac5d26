//! Messages between rings: `IORING_OP_MSG_RING`, a completion in another ring, maybe with a registered file.

use alloc::sync::Arc;

use linux_raw_sys::io_uring::{io_uring_msg_ring_flags::*, *};
use syscalls::Errno;

use crate::{
    file::{
        File,
        uring::{self, Entry, Ring},
    },
    user_memory::SysResult,
};

/// Sends what an entry says to the ring that `file` is.
///
/// # Errors
/// EBADFD if it is none, or does not take entries yet; EBADF, ENXIO, ENFILE and EINVAL for a file.
pub fn send(ring: &Arc<Ring>, file: &File, entry: &Entry) -> SysResult {
    let target = uring::of(file).ok_or(Errno::EBADFD)?;
    let is = |wanted: io_uring_msg_ring_flags| entry.address == wanted as u64;
    let result = if is(IORING_MSG_DATA) {
        if entry.address3 != 0 || entry.other_fd != 0 || entry.op_flags != 0 {
            return Err(Errno::EINVAL);
        }
        check_awake(target)?;
        entry.len as i32
    } else if is(IORING_MSG_SEND_FD) {
        if Arc::ptr_eq(ring, target) {
            return Err(Errno::EINVAL);
        }
        check_awake(target)?;
        let file = ring.registered_file(i32::try_from(entry.address3).map_err(|_| Errno::EBADF)?)?;
        let place = target.register_in(entry.other_fd, file)?;
        if entry.op_flags & IORING_MSG_RING_CQE_SKIP != 0 {
            return Ok(place);
        }
        place as i32
    } else {
        return Err(Errno::EINVAL);
    };
    target.complete(entry.offset, result, 0);
    Ok(if is(IORING_MSG_DATA) { 0 } else { result as usize })
}

fn check_awake(ring: &Ring) -> Result<(), Errno> {
    if ring.is_disabled() { Err(Errno::EBADFD) } else { Ok(()) }
}
