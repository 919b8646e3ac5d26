//! Finding a name by its hash.

use super::{
    super::{directory::Entry, node::Node, volume::Turns},
    path::Path,
};
use crate::Result;
use syscalls::Errno;

impl Node {
    /// Finds the entry of a name by its hash.
    pub async fn find_by_hash(&self, name: &[u8]) -> Result<Entry> {
        let mut path = Path::to_name(self, name).await?;
        let hash = path.hash;
        let mut turns = Turns::default();
        // Names of one hash may be in several leaves, but in each block once.
        for _ in 0..self.directory_blocks() {
            let (leaf, number) = path.leaf(self).await?;
            if let Some(entry) = self.entry_in(leaf, number, name)? {
                return Ok(entry);
            }
            if path.end() != Some(hash | 1) {
                return Err(Errno::ENOENT);
            }
            path.go_on(self).await?;
            turns.next().await;
        }
        Err(self.corrupt_directory(0, "hash tree has more leaves than blocks"))
    }
}
