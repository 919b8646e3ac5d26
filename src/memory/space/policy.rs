//! Memory policies: from which of a machine's nodes of memory a program wants its pages (set_mempolicy(2), mbind(2)).
//!
//! There is one node here, so there is nothing to choose. Policies are checked, kept, inherited and told as by a Linux
//! with one node: a region's among its flags, a thread's beside its other orders to the scheduler.

use super::AddressSpace;
use super::region::{Region, RegionFlags};
use super::regions::MAX_REGIONS;
use core::fmt;
use core::ops::Range;
use linux_raw_sys::mempolicy as linux;
use syscalls::Errno;

/// Nodes as programs name them, as far as that matters where there is one, whose number is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Whether node 0 is among them.
    pub first: bool,
    /// Whether any other is.
    pub others: bool,
}

/// A memory policy. [`Default`] is to have none.
///
/// In a byte: three bits for the mode, one for each flag, and one for a relative number of node 0 that is not 0. Its set of
/// nodes is node 0 if its mode has one at all; others that a program has named besides are forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy(u8);

const DEFAULT: u8 = linux::MPOL_DEFAULT as u8;
const PREFERRED: u8 = linux::MPOL_PREFERRED as u8;
const BIND: u8 = linux::MPOL_BIND as u8;
const INTERLEAVE: u8 = linux::MPOL_INTERLEAVE as u8;
const LOCAL: u8 = linux::MPOL_LOCAL as u8;
const PREFERRED_MANY: u8 = linux::MPOL_PREFERRED_MANY as u8;

impl MemoryPolicy {
    const MODE: u8 = 7;
    const STATIC: u8 = 1 << 3;
    const RELATIVE: u8 = 1 << 4;
    const BALANCING: u8 = 1 << 5;
    const RENUMBERED: u8 = 1 << 6;
    /// Bits of all this.
    pub(super) const BITS: u32 = 7;
    /// The flags, and how programs write them.
    const FLAGS: [(u8, u32); 3] = [
        (Self::STATIC, linux::MPOL_F_STATIC_NODES),
        (Self::RELATIVE, linux::MPOL_F_RELATIVE_NODES),
        (Self::BALANCING, linux::MPOL_F_NUMA_BALANCING),
    ];

    /// What a program asks for, before its nodes are looked at. EINVAL for what is no mode, and for flags that exclude
    /// each other.
    pub fn asked(word: u32) -> Result<Self, Errno> {
        let mode = word & !linux::MPOL_MODE_FLAGS;
        if mode > linux::MPOL_PREFERRED_MANY as u32 {
            return Err(Errno::EINVAL);
        }
        let flags = Self::FLAGS.iter().filter(|(_, flag)| word & flag != 0);
        let policy = Self(flags.fold(mode as u8, |bits, (bit, _)| bits | bit));
        let excluded = policy.has(Self::STATIC) && policy.has(Self::RELATIVE)
            || policy.has(Self::BALANCING) && policy.mode() != BIND;
        if excluded { Err(Errno::EINVAL) } else { Ok(policy) }
    }

    /// It, for these nodes. EINVAL where its mode wants other ones, or none.
    pub fn with(self, nodes: Nodes) -> Result<Self, Errno> {
        let is_empty = nodes == Nodes::default();
        let of_sets = Self::STATIC | Self::RELATIVE;
        match self.mode() {
            // No policy has no flags.
            DEFAULT if is_empty => Ok(Self::default()),
            PREFERRED | LOCAL if is_empty && self.0 & of_sets == 0 => Ok(Self(LOCAL)),
            DEFAULT | LOCAL => Err(Errno::EINVAL),
            _ if nodes.first => Ok(self),
            // Relative numbers go round the nodes that there are.
            _ if self.has(Self::RELATIVE) && !is_empty => Ok(Self(self.0 | Self::RENUMBERED)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn mode(self) -> u8 {
        self.0 & Self::MODE
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// As [`from_bits`](Self::from_bits) takes it.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// What [`bits`](Self::bits) has given.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The mode with its flags, as get_mempolicy(2) tells it.
    pub fn word(self) -> u32 {
        let flags = Self::FLAGS.iter().filter(|(bit, _)| self.has(*bit));
        flags.fold(self.mode().into(), |word, (_, flag)| word | flag)
    }

    /// Whether node 0 is in its set: no other can be.
    fn has_node(self) -> bool {
        !matches!(self.mode(), DEFAULT | LOCAL)
    }

    /// Whether the program has named node 0 by its number.
    pub fn names_node(self) -> bool {
        self.has_node() && !self.has(Self::RENUMBERED)
    }

    /// Whether the nodes take turns.
    pub fn interleaves(self) -> bool {
        self.mode() == INTERLEAVE
    }

    /// Whether it may have a node from which the distances to others count (set_mempolicy_home_node(2)).
    fn may_have_home(self) -> bool {
        matches!(self.mode(), BIND | PREFERRED_MANY)
    }
}

/// As `/proc/PID/numa_maps` has it.
impl fmt::Display for MemoryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.mode() {
            PREFERRED => "prefer",
            BIND => "bind",
            INTERLEAVE => "interleave",
            LOCAL => "local",
            PREFERRED_MANY => "prefer (many)",
            _ => "default",
        };
        f.write_str(name)?;
        let names = [(Self::STATIC, "static"), (Self::RELATIVE, "relative"), (Self::BALANCING, "balancing")];
        let mut separator = '=';
        for (_, name) in names.iter().filter(|(flag, _)| self.has(*flag)) {
            write!(f, "{separator}{name}")?;
            separator = '|';
        }
        f.write_str(if self.has_node() { ":0" } else { "" })
    }
}

impl Region {
    /// Its own policy.
    pub fn policy(&self) -> MemoryPolicy {
        MemoryPolicy((self.flags.intersection(RegionFlags::POLICY).bits() >> RegionFlags::POLICY_SHIFT) as u8)
    }

    fn set_policy(&mut self, policy: MemoryPolicy) {
        let bits = RegionFlags::from_bits_retain(u32::from(policy.0) << RegionFlags::POLICY_SHIFT);
        self.flags = self.flags.difference(RegionFlags::POLICY).union(bits);
    }
}

impl AddressSpace {
    /// mbind(2): gives `range`, whole pages, a policy.
    ///
    /// # Errors
    /// EFAULT if part of it is not mapped; ENOMEM.
    pub async fn set_policy(&self, range: &Range<usize>, policy: MemoryPolicy) -> Result<(), Errno> {
        let mut layout = self.locked().await;
        for part in layout.regions.parts(range) {
            if !layout.regions.covers(&part) {
                return Err(Errno::EFAULT);
            }
            executor::make_way().await;
        }
        let mut left = range.clone();
        while let Some(part) = layout.regions.part(&left) {
            left.start = part.end;
            if layout.regions.len() + 2 > MAX_REGIONS {
                return Err(Errno::ENOMEM);
            }
            layout.regions.modify(&part, |region| region.set_policy(policy))?;
            executor::make_way().await;
        }
        Ok(())
    }

    /// The policy of what is mapped at an address, if anything is.
    pub async fn policy_at(&self, address: usize) -> Option<MemoryPolicy> {
        let layout = self.locked().await;
        layout.regions.find(address).map(|(_, region)| region.policy())
    }

    /// set_mempolicy_home_node(2), where the one node is everybody's home anyway.
    ///
    /// # Errors
    /// ENOENT if no part of `range` has a policy; EOPNOTSUPP for the first that has one for which there is no home.
    pub async fn check_home_node(&self, range: &Range<usize>) -> Result<(), Errno> {
        let layout = self.locked().await;
        let mut outcome = Err(Errno::ENOENT);
        for part in layout.regions.parts(range) {
            for policy in layout.regions.overlapping(&part).map(Region::policy) {
                if policy != MemoryPolicy::default() {
                    outcome = if policy.may_have_home() { Ok(()) } else { return Err(Errno::EOPNOTSUPP) };
                }
            }
            executor::make_way().await;
        }
        outcome
    }
}
