//! Check sums, for contents that are too long to be printed.

/// A sum of bytes (FNV-1a with 64 bits; Fowler, Noll and Vo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// That of nothing.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// With these bytes at the end.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }

    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::new().with(bytes)
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
