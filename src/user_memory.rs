//! User memory as system calls see it.
//!
//! The fast path is a plain copy through the active address space with a fix-up for faults
//! ([`arch::uaccess`](crate::arch::uaccess)). Only when it faults does the caller wait: the page is brought in by
//! the code that serves page-fault traps, and the copy goes on where it stopped. No lock is ever held meanwhile.

use alloc::vec::Vec;
use syscalls::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    arch::{
        uaccess::{self, Fault, StringError, UserRange},
        user::Access,
    },
    memory::{self, FaultError},
    process::{Caller, exit},
};

/// The result of a system call: the value for `rax`, or the error number.
pub type SysResult = Result<usize, Errno>;

/// The most bytes that one `read` or `write` moves, as on Linux (`MAX_RW_COUNT`).
pub const MAX_RW_COUNT: usize = 0x7fff_f000;

/// Brings the page at `address` in for `access`, or EFAULT if the program may not touch it. When there is no memory for
/// it, the process dies, as it does of a fault of its own.
#[cold]
pub async fn fault_in(caller: &Caller, address: usize, access: Access) -> Result<(), Errno> {
    caller.space.fault(address, access).await.map_err(|error| {
        if error == FaultError::OutOfMemory {
            exit::out_of_memory(caller);
        }
        Errno::EFAULT
    })
}

/// Fills `into` from user memory at `from`.
#[inline]
pub async fn copy_in(caller: &Caller, from: usize, into: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    loop {
        match uaccess::copy_from_user(&mut into[done..], from.wrapping_add(done)) {
            Ok(()) => return Ok(()),
            Err(Fault { copied, address }) => {
                done += copied;
                fault_in(caller, address, Access::Read).await?;
            }
        }
    }
}

/// Copies all of `bytes` to user memory at `to`.
#[inline]
pub async fn copy_out(caller: &Caller, to: usize, bytes: &[u8]) -> Result<(), Errno> {
    let mut done = 0;
    loop {
        match uaccess::copy_to_user(to.wrapping_add(done), &bytes[done..]) {
            Ok(()) => return Ok(()),
            Err(Fault { copied, address }) => {
                done += copied;
                fault_in(caller, address, Access::Write).await?;
            }
        }
    }
}

/// Reads one value of a plain type from user memory.
#[inline]
pub async fn read<T: FromBytes + IntoBytes>(caller: &Caller, from: usize) -> Result<T, Errno> {
    let mut value = T::new_zeroed();
    copy_in(caller, from, value.as_mut_bytes()).await?;
    Ok(value)
}

/// Writes one value of a plain type to user memory.
#[inline]
pub async fn write<T: IntoBytes + Immutable>(caller: &Caller, to: usize, value: T) -> Result<(), Errno> {
    copy_out(caller, to, value.as_bytes()).await
}

/// Writes `value` unless `to` is null, which many calls take for "not wanted".
#[inline]
pub async fn write_optional<T: IntoBytes + Immutable>(
    caller: &Caller,
    to: usize,
    value: T,
) -> Result<(), Errno> {
    if to == 0 { Ok(()) } else { write(caller, to, value).await }
}

/// Reads `count` values of a plain type.
pub async fn read_array<T: FromBytes + IntoBytes>(
    caller: &Caller,
    from: usize,
    count: usize,
) -> Result<Vec<T>, Errno> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    values.resize_with(count, T::new_zeroed);
    copy_in(caller, from, values.as_mut_slice().as_mut_bytes()).await?;
    Ok(values)
}

/// The longest path that a system call takes, with its terminating NUL (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;

/// A path copied from user memory: short ones live inside the value, long ones on the heap.
pub enum PathBuf {
    /// Up to [`PathBuf::INLINE`] bytes.
    Inline([u8; PathBuf::INLINE], u8),
    /// Anything longer.
    Heap(Vec<u8>),
}

impl PathBuf {
    /// Bytes that need no allocation; nearly all paths of nearly all programs fit.
    pub const INLINE: usize = 79;
}

impl core::ops::Deref for PathBuf {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            PathBuf::Inline(bytes, len) => &bytes[..*len as usize],
            PathBuf::Heap(bytes) => bytes,
        }
    }
}

/// Reads a NUL-terminated path: ENAMETOOLONG when it does not fit [`PATH_MAX`], EFAULT as always.
#[inline]
pub async fn read_path(caller: &Caller, from: usize) -> Result<PathBuf, Errno> {
    let mut inline = [0; PathBuf::INLINE];
    match uaccess::strncpy_from_user(&mut inline, from) {
        Ok(len) => Ok(PathBuf::Inline(inline, len as u8)),
        _ => memory::pinned(read_string(caller, from, PATH_MAX))?
            .await
            .map(PathBuf::Heap)
            .map_err(|errno| if errno == Errno::E2BIG { Errno::ENAMETOOLONG } else { errno }),
    }
}

/// Reads a NUL-terminated string of fewer than `limit` bytes, without the NUL; E2BIG when it is longer.
pub async fn read_string(caller: &Caller, from: usize, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    let append = |bytes: &[u8]| {
        string.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
        string.extend_from_slice(bytes);
        Ok(())
    };
    read_string_by(caller, from, limit, &mut [0; 256], append).await?;
    string.pop();
    Ok(string)
}

/// As [`read_string`], but hands the bytes, and the NUL last, to `append`, as many at a time as fit `part`. Makes way for
/// others if that is due.
pub async fn read_string_by(
    caller: &Caller,
    from: usize,
    limit: usize,
    part: &mut [u8],
    mut append: impl FnMut(&[u8]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut len = 0;
    loop {
        let read = uaccess::strncpy_from_user(part, from.wrapping_add(len));
        let readable = match read {
            Ok(rest) => rest + 1,
            Err(StringError::TooLong) => part.len(),
            Err(StringError::Fault(Fault { copied, .. })) => copied,
        };
        len += readable;
        if len > limit {
            return Err(Errno::E2BIG);
        }
        append(&part[..readable])?;
        match read {
            Ok(_) => return Ok(()),
            Err(StringError::TooLong) => executor::make_way().await,
            Err(StringError::Fault(Fault { address, .. })) => fault_in(caller, address, Access::Read).await?,
        }
    }
}

/// Reads as much of a NUL-terminated string as fits `into`, and returns how much that is, without the NUL.
pub async fn read_prefix(caller: &Caller, from: usize, into: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match uaccess::strncpy_from_user(into, from) {
            Ok(len) => return Ok(len),
            Err(StringError::TooLong) => return Ok(into.len()),
            Err(StringError::Fault(Fault { address, .. })) => fault_in(caller, address, Access::Read).await?,
        }
    }
}

/// A range of user memory that bytes are read into: the destination of `read(2)`.
///
/// As an [`fs::Sink`] it stops short where a page is missing and remembers where ([`UserBuffer::resolve`] brings it
/// in). The same type serves as [`fs::Source`] for `write(2)`.
pub struct UserBuffer {
    address: usize,
    remaining: usize,
    fault: Option<(usize, Access)>,
}

impl UserBuffer {
    /// The range of `len` bytes at `address`, of which at most [`MAX_RW_COUNT`] are moved; EFAULT if it leaves user
    /// space, so that nothing is moved at all.
    #[inline]
    pub fn new(address: usize, len: usize) -> Result<Self, Errno> {
        UserRange::new(address, len).map_err(|_| Errno::EFAULT)?;
        Ok(Self { address, remaining: len.min(MAX_RW_COUNT), fault: None })
    }

    /// The first of the bytes still to move.
    #[inline]
    pub fn address(&self) -> usize {
        self.address
    }

    /// The bytes still to move, as a range.
    pub fn vector(&self) -> IoVec {
        IoVec { base: self.address, len: self.remaining }
    }

    /// The first `len` of the bytes still to move.
    #[inline]
    pub fn front(&self, len: usize) -> Self {
        Self { address: self.address, remaining: self.remaining.min(len), fault: None }
    }

    /// Bytes still to move.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Moves at most `len` more bytes.
    #[inline]
    pub fn limit(&mut self, len: usize) {
        self.remaining = self.remaining.min(len);
    }

    /// Leaves out the first `len` bytes, which have been moved already.
    #[inline]
    pub fn skip(&mut self, len: usize) {
        self.address += len;
        self.remaining -= len;
    }

    /// Offers the last `len` bytes that were taken out of it again.
    #[inline]
    pub fn give_back(&mut self, len: usize) {
        self.address -= len;
        self.remaining += len;
    }

    /// Where the last operation stopped for a missing page, and what it wanted to do there.
    #[inline]
    pub fn missing(&self) -> Option<(usize, Access)> {
        self.fault
    }

    /// Whether the last operation stopped at a missing page.
    #[inline]
    pub fn faulted(&self) -> bool {
        self.fault.is_some()
    }

    /// Brings in the page that stopped the last operation. Makes way for others if that is due: there may be many such
    /// pages, one after the other.
    #[cold]
    pub async fn resolve(&mut self, caller: &Caller) -> Result<(), Errno> {
        executor::make_way().await;
        match self.fault.take() {
            Some((address, access)) => fault_in(caller, address, access).await,
            None => Ok(()),
        }
    }

    #[inline]
    fn advance(&mut self, wanted: usize, access: Access, result: Result<(), Fault>) -> usize {
        let moved = match result {
            Ok(()) => wanted,
            Err(Fault { copied, address }) => {
                self.fault = Some((address, access));
                copied
            }
        };
        self.address += moved;
        self.remaining -= moved;
        moved
    }
}

impl UserBuffer {
    /// Takes all of `data`, or nothing where a page is missing; whether it did. There is room for it.
    #[inline]
    pub fn put_whole(&mut self, data: &[u8]) -> bool {
        let result = uaccess::copy_bytes_to_user(self.address, data);
        self.advance_whole(data.len(), Access::Write, result)
    }

    /// Counts bytes that have been moved as a whole or not at all.
    #[inline(always)]
    fn advance_whole(&mut self, len: usize, access: Access, result: Result<(), Fault>) -> bool {
        match result {
            Ok(()) => {
                self.address += len;
                self.remaining -= len;
                true
            }
            Err(Fault { address, .. }) => {
                self.fault = Some((address, access));
                false
            }
        }
    }
}

impl fs::Sink for UserBuffer {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.remaining);
        let result = uaccess::copy_bytes_to_user(self.address, &bytes[..len]);
        self.advance(len, Access::Write, result)
    }

    fn put_zeros(&mut self, count: usize) -> usize {
        let len = count.min(self.remaining);
        let result = uaccess::zero_user(self.address, len);
        self.advance(len, Access::Write, result)
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }
}

impl fs::Source for UserBuffer {
    #[inline]
    fn take(&mut self, into: &mut [u8]) -> usize {
        let len = into.len().min(self.remaining);
        let result = uaccess::copy_bytes_from_user(&mut into[..len], self.address);
        self.advance(len, Access::Read, result)
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }
}

impl net::Sink for UserBuffer {
    #[inline]
    fn put(&mut self, data: &[u8]) -> bool {
        self.put_whole(data)
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn take_back(&mut self, len: usize) {
        UserBuffer::give_back(self, len);
    }
}

impl net::Source for UserBuffer {
    #[inline]
    fn append_to(&mut self, data: &mut Vec<u8>, len: usize) -> bool {
        let result = uaccess::append_from_user(data, self.address, len);
        self.advance_whole(len, Access::Read, result)
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn give_back(&mut self, len: usize) {
        UserBuffer::give_back(self, len);
    }
}

/// Several ranges of user memory, one behind the other: what `readv` reads into and `writev` writes from, in one go.
pub struct UserVectors<'a> {
    vectors: &'a [IoVec],
    /// The range that is moved to or from next, and how much of it has been moved.
    index: usize,
    offset: usize,
    remaining: usize,
    fault: Option<(usize, Access)>,
}

impl<'a> UserVectors<'a> {
    /// The ranges, which have been checked ([`read_iovecs`]); at most [`MAX_RW_COUNT`] bytes of them are moved.
    pub fn new(vectors: &'a [IoVec]) -> Self {
        let all = vectors.iter().fold(0_usize, |sum, vector| sum.saturating_add(vector.len));
        Self { vectors, index: 0, offset: 0, remaining: all.min(MAX_RW_COUNT), fault: None }
    }

    /// Brings in the page that stopped the last operation; as [`UserBuffer::resolve`].
    #[cold]
    pub async fn resolve(&mut self, caller: &Caller) -> Result<(), Errno> {
        executor::make_way().await;
        match self.fault.take() {
            Some((address, access)) => fault_in(caller, address, access).await,
            None => Ok(()),
        }
    }

    /// The last `len` bytes are to be moved again.
    fn go_back(&mut self, mut len: usize) {
        self.remaining += len;
        while len > self.offset {
            len -= self.offset;
            self.index -= 1;
            self.offset = self.vectors[self.index].len;
        }
        self.offset -= len;
    }

    /// Leaves out the first `len` bytes, which have been moved already; there are as many.
    pub fn skip(&mut self, len: usize) {
        self.offset += len;
        self.remaining -= len;
        while let Some(vector) = self.vectors.get(self.index)
            && self.offset >= vector.len
        {
            self.offset -= vector.len;
            self.index += 1;
        }
    }

    /// Where the last operation stopped for a missing page, and what it wanted to do there.
    pub fn missing(&self) -> Option<(usize, Access)> {
        self.fault
    }

    /// Moves up to `len` bytes, which there are, part by part: `step` gets an offset from the first, an address and a length.
    /// How many: fewer if one part meets a missing page.
    #[inline]
    fn move_some(
        &mut self,
        len: usize,
        access: Access,
        mut step: impl FnMut(usize, usize, usize) -> Result<(), Fault>,
    ) -> usize {
        let (mut index, mut offset, mut done) = (self.index, self.offset, 0);
        while done < len {
            let vector = self.vectors[index];
            let part = (vector.len - offset).min(len - done);
            if let Err(Fault { copied, address }) = step(done, vector.base + offset, part) {
                self.fault = Some((address, access));
                (offset, done) = (offset + copied, done + copied);
                break;
            }
            (offset, done) = (offset + part, done + part);
            if offset == vector.len {
                (index, offset) = (index + 1, 0);
            }
        }
        (self.index, self.offset) = (index, offset);
        self.remaining -= done;
        done
    }

    /// Moves `len` bytes as [`Self::move_some`] does. All or, if one part meets a missing page, none.
    fn move_parts(
        &mut self,
        len: usize,
        access: Access,
        step: impl FnMut(usize, usize, usize) -> Result<(), Fault>,
    ) -> bool {
        let done = self.move_some(len, access, step);
        if done < len {
            self.go_back(done);
        }
        done == len
    }
}

impl fs::Sink for UserVectors<'_> {
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.move_some(bytes.len().min(self.remaining), Access::Write, |done, address, len| {
            uaccess::copy_bytes_to_user(address, &bytes[done..done + len])
        })
    }

    fn remaining(&self) -> usize {
        self.remaining
    }
}

impl fs::Source for UserVectors<'_> {
    fn take(&mut self, into: &mut [u8]) -> usize {
        self.move_some(into.len().min(self.remaining), Access::Read, |done, address, len| {
            uaccess::copy_bytes_from_user(&mut into[done..done + len], address)
        })
    }

    fn remaining(&self) -> usize {
        self.remaining
    }
}

impl net::Sink for UserVectors<'_> {
    fn put(&mut self, data: &[u8]) -> bool {
        self.move_parts(data.len(), Access::Write, |done, address, len| {
            uaccess::copy_bytes_to_user(address, &data[done..done + len])
        })
    }

    fn remaining(&self) -> usize {
        self.remaining
    }

    fn take_back(&mut self, len: usize) {
        self.go_back(len);
    }
}

impl net::Source for UserVectors<'_> {
    fn append_to(&mut self, data: &mut Vec<u8>, len: usize) -> bool {
        let before = data.len();
        let whole = self
            .move_parts(len, Access::Read, |_, address, len| uaccess::append_from_user(data, address, len));
        if !whole {
            data.truncate(before);
        }
        whole
    }

    fn remaining(&self) -> usize {
        self.remaining
    }

    fn give_back(&mut self, len: usize) {
        self.go_back(len);
    }
}

/// One element of `readv`'s and `writev`'s array.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
pub struct IoVec {
    /// First byte.
    pub base: usize,
    /// Number of bytes.
    pub len: usize,
}

/// Most elements of such an array (`IOV_MAX`).
pub const IOV_MAX: usize = 1024;

/// Reads and checks an array of [`IoVec`]s: EINVAL for too many or a length above `isize::MAX`, EFAULT for one that leaves
/// user space.
pub async fn read_iovecs(caller: &Caller, from: usize, count: u32) -> Result<Vec<IoVec>, Errno> {
    let count = count as usize;
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    let vectors: Vec<IoVec> = read_array(caller, from, count).await?;
    // Together they may be longer than one call moves: it then moves less.
    if vectors.iter().any(|vector| vector.len > isize::MAX as usize) {
        return Err(Errno::EINVAL);
    }
    vectors.iter().try_for_each(|vector| UserBuffer::new(vector.base, vector.len).map(drop))?;
    Ok(vectors)
}
