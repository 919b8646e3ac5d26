//! The header of a member.

use super::unpack::Error;

/// Bytes in a header: a magic of six and thirteen fields of eight hexadecimal digits.
pub(super) const LEN: usize = 110;

/// A member's header, without the fields that nothing depends on (the check sum is a plain sum of bytes
/// that few writers fill in).
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub ino: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub modified: u32,
    pub size: u32,
    pub device: (u32, u32),
    pub rdev: (u32, u32),
    /// Bytes of the name with its NUL.
    pub name_size: u32,
}

impl Header {
    pub fn parse(bytes: &[u8; LEN]) -> Result<Self, Error> {
        if &bytes[..6] != b"070701" && &bytes[..6] != b"070702" {
            return Err(Error::BadMagic);
        }
        let field = |index: usize| {
            bytes[6 + 8 * index..][..8].iter().try_fold(0u32, |value, digit| -> Result<u32, Error> {
                let digit = (*digit as char).to_digit(16).ok_or(Error::BadNumber)?;
                Ok(value << 4 | digit)
            })
        };
        Ok(Header {
            ino: field(0)?,
            mode: field(1)?,
            uid: field(2)?,
            gid: field(3)?,
            links: field(4)?,
            modified: field(5)?,
            size: field(6)?,
            device: (field(7)?, field(8)?),
            rdev: (field(9)?, field(10)?),
            name_size: field(11)?,
        })
    }
}

/// How many bytes follow `len` up to a multiple of four.
pub(super) fn padding(len: usize) -> usize {
    len.wrapping_neg() % 4
}
