//! Registering what alone a ring may be asked for.

use linux_raw_sys::io_uring::io_uring_register_restriction_op::*;
use syscalls::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::{LAST, check};
use crate::{
    file::uring::{Ring, restrictions::Restrictions},
    process::Caller,
    syscall::uring::operations,
    user_memory::{self, SysResult},
};

/// The most that can be named at once, as on Linux: each operation, each registration, and each kind of restriction.
const COUNT_MAX: u32 = operations::LAST as u32 + 1 + LAST + IORING_RESTRICTION_LAST as u32;

/// `struct io_uring_restriction`.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Restriction {
    kind: u16,
    value: u8,
    reserved: [u8; 13],
}

/// Registers restrictions, which are in force once the ring takes entries.
///
/// # Errors
/// EBADFD if it does already, EBUSY if some are registered, EINVAL for what there is not, or too many.
pub async fn register(caller: &Caller, ring: &Ring, argument: usize, count: u32) -> SysResult {
    if !ring.is_disabled() {
        return Err(Errno::EBADFD);
    }
    if ring.registered.lock().restrictions.is_some() {
        return Err(Errno::EBUSY);
    }
    check(argument != 0 && count <= COUNT_MAX)?;
    let mut restrictions = Restrictions::default();
    for index in 0..count as usize {
        let at = argument.wrapping_add(index * size_of::<Restriction>());
        let Restriction { kind, value, .. } = user_memory::read(caller, at).await?;
        let is = |wanted: linux_raw_sys::io_uring::io_uring_register_restriction_op| kind == wanted as u16;
        if is(IORING_RESTRICTION_REGISTER_OP) {
            check(u32::from(value) < LAST)?;
            restrictions.registrations |= 1 << value;
        } else if is(IORING_RESTRICTION_SQE_OP) {
            check(value <= operations::LAST)?;
            restrictions.operations |= 1 << value;
        } else if is(IORING_RESTRICTION_SQE_FLAGS_ALLOWED) {
            restrictions.allowed = value;
        } else if is(IORING_RESTRICTION_SQE_FLAGS_REQUIRED) {
            restrictions.required = value;
        } else {
            return Err(Errno::EINVAL);
        }
    }
    ring.restrict(restrictions)?;
    Ok(0)
}
