//! Room for a name in the leaf of its hash.

use super::{
    super::{buffer::Buffer, node::Node, volume::Turns},
    path::Path,
};
use crate::Result;
use alloc::sync::Arc;

impl Node {
    /// A leaf for a name that has room for it. If none has, a node or leaf is split, and `None` returned.
    pub async fn room_by_hash(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Buffer>>> {
        let mut path = Path::to_name(self, name).await?;
        let hash = path.hash;
        let mut turns = Turns::default();
        for _ in 0..self.directory_blocks() {
            let (leaf, number) = path.leaf(self).await?;
            if self.has_room(&leaf, number, name)? {
                return Ok(Some(leaf));
            }
            // Names of the same hash may as well be in the next leaf, if some are already.
            if path.end() != Some(hash | 1) {
                self.split(&path, &leaf, number).await?;
                return Ok(None);
            }
            path.go_on(self).await?;
            turns.next().await;
        }
        Err(self.corrupt_directory(0, "hash tree has more leaves than blocks"))
    }
}
