//! Room for a name in the leaf of its hash.

use super::{
    super::{directory::Room, node::Node, volume::Turns},
    path::Path,
};
use crate::Result;
use alloc::sync::Arc;

impl Node {
    /// A place for a name, which must not be there, in a leaf that has room for it. If none has, a node or leaf is split, and
    /// `None` returned.
    pub async fn room_by_hash(self: &Arc<Self>, name: &[u8]) -> Result<Option<Room>> {
        let mut path = Path::to_name(self, name).await?;
        let hash = path.hash;
        let mut turns = Turns::default();
        let mut room = None;
        for _ in 0..self.directory_blocks() {
            let (leaf, number) = path.leaf(self).await?;
            self.room_in(&leaf, number, (name, Some(hash)), &mut room)?;
            // Names of the same hash may as well be in the next leaf, if some are already.
            if path.end() != Some(hash | 1) {
                if room.is_none() {
                    self.split(&path, &leaf, number).await?;
                }
                return Ok(room);
            }
            path.go_on(self).await?;
            turns.next().await;
        }
        Err(self.corrupt_directory(0, "hash tree has more leaves than blocks"))
    }
}
