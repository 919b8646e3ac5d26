//! The devices that are nothing but a rule: null, zero, full, random and urandom (`null(4)`, `full(4)`, `random(4)`).

use syscalls::Errno;

use crate::random::Random;

/// One of the character devices of major number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryDevice {
    /// Takes everything, gives nothing.
    Null,
    /// Takes everything, gives zeros.
    Zero,
    /// Takes nothing for want of space, gives zeros.
    Full,
    /// Gives random bytes, takes entropy.
    Random,
    /// The same, by its other name.
    Urandom,
}

/// What reading a device gives, however much is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The end.
    Nothing,
    /// Zeros.
    Zeros,
    /// Random bytes.
    Random,
}

impl MemoryDevice {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Null, Self::Zero, Self::Full, Self::Random, Self::Urandom];

    /// The name in /dev. Everybody may read and write all of them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Zero => "zero",
            Self::Full => "full",
            Self::Random => "random",
            Self::Urandom => "urandom",
        }
    }

    /// Device number, major and minor.
    pub const fn device(self) -> (u32, u32) {
        match self {
            Self::Null => (1, 3),
            Self::Zero => (1, 5),
            Self::Full => (1, 7),
            Self::Random => (1, 8),
            Self::Urandom => (1, 9),
        }
    }

    /// The device with this number.
    pub fn from_device(device: (u32, u32)) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| candidate.device() == device)
    }

    /// What reading it gives.
    pub const fn contents(self) -> Contents {
        match self {
            Self::Null => Contents::Nothing,
            Self::Zero | Self::Full => Contents::Zeros,
            Self::Random | Self::Urandom => Contents::Random,
        }
    }

    /// Takes `bytes`: all of them. What is written to the random devices stirs the pool without counting as entropy.
    ///
    /// # Errors
    /// ENOSPC from the full device.
    pub fn write(self, random: &Random, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Full => return Err(Errno::ENOSPC),
            Self::Null | Self::Zero => {}
            Self::Random | Self::Urandom => random.mix(bytes, 0),
        }
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keeps_its_rule() {
        let random = Random::new();
        assert_eq!(MemoryDevice::Null.contents(), Contents::Nothing);
        assert_eq!(MemoryDevice::Full.contents(), Contents::Zeros);
        assert_eq!(MemoryDevice::Urandom.contents(), MemoryDevice::Random.contents());
        assert_eq!(MemoryDevice::Null.write(&random, b"gone"), Ok(4));
        assert_eq!(MemoryDevice::Full.write(&random, b"no"), Err(Errno::ENOSPC));
        assert_eq!(MemoryDevice::Random.write(&random, b"salt"), Ok(4));
    }

    #[test]
    fn numbers_lead_back() {
        for device in MemoryDevice::ALL {
            assert_eq!(MemoryDevice::from_device(device.device()), Some(device));
        }
        assert_eq!(MemoryDevice::from_device((1, 1)), None);
    }
}
