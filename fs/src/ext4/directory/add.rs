//! Entering names.

use super::{
    super::{
        buffer::{Buffer, Form},
        hash_tree,
        node::Node,
        transaction::Apply,
        volume::Turns,
    },
    Draft, Format, Whereabouts,
};
use crate::{NAME_MAX, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use syscalls::Errno;

/// Steps in which room is made, at most: a hash tree may need one for each of its levels, twice.
const STEPS: usize = 16;

/// A block of entries, and where in it a record with room for a name is.
pub struct Room {
    pub block: Arc<Buffer>,
    /// The block's number in the directory.
    pub number: u64,
    pub offset: usize,
    /// That of the name, where there is a hash tree.
    pub hash: Option<u32>,
}

/// Room for a name in a directory.
pub struct Addition {
    room: Room,
    format: Format,
    name: Box<[u8]>,
}

impl Addition {
    /// Blocks that are changed.
    pub fn credits(&self) -> usize {
        1
    }

    /// Enters the name of a file. Entries of the directory may have been removed since it was planned, but no other one
    /// entered.
    pub fn apply(self, apply: &Apply<'_>, file: &Node) {
        let Room { block, number, offset, hash } = self.room;
        let (name, kind) = ((&*self.name, hash), file.attributes.kind);
        let entered = block.write(apply).entries(self.format).enter(offset, name, file.number, kind);
        debug_assert!(entered.is_some(), "room for a name is gone");
        if let Some(offset) = entered {
            file.last_seen.note(Whereabouts { number, offset });
        }
    }
}

impl Node {
    /// Plans to enter a name. If there is no room for it, some is made at once, in transactions of their own; with the plan or
    /// without, the directory is whole. `EEXIST` if it is there, `ENOSPC` when the directory cannot grow, `EOPNOTSUPP` when
    /// the entries are in the inode.
    pub async fn plan_entry(self: &Arc<Self>, name: Box<[u8]>) -> Result<Addition> {
        self.check_blocks_of_directory()?;
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Errno::EINVAL);
        }
        if self.is_indexed() && !hash_tree::is_enabled(self) {
            return Err(self.corrupt("has a hash tree, but the file system has none"));
        }
        let mut turns = Turns::default();
        for _ in 0..STEPS {
            turns.next().await;
            let room = if self.is_indexed() {
                self.room_by_hash(&name).await?
            } else {
                self.room_in_list(&name).await?
            };
            if let Some(room) = room {
                return Ok(Addition { room, format: self.format(), name });
            }
        }
        Err(self.corrupt("has no room for a name, however much it grows"))
    }

    /// The first place in a list that has room for a name, which must not be there. If none has, makes room and returns `None`.
    async fn room_in_list(self: &Arc<Self>, name: &[u8]) -> Result<Option<Room>> {
        let mut turns = Turns::default();
        let mut room = None;
        for number in 0..self.directory_blocks() {
            turns.next().await;
            let block = self.directory_block(number).await?;
            self.room_in(&block, number, (name, None), &mut room)?;
        }
        if room.is_some() {
            return Ok(room);
        }
        if self.directory_blocks() == 1 && hash_tree::default_version(self).is_some() {
            self.plant_hash_tree().await?;
        } else {
            let mut empty = Draft::new(self, Form::Leaf)?;
            self.format().fill(&mut empty.bytes, core::iter::empty());
            self.rebuild(empty, [None, None], false).await?;
        }
        Ok(None)
    }

    /// Looks for room for a name, with its hash in a hash tree, in a block of entries if there is none yet. `EEXIST` if the
    /// name is in the block.
    pub fn room_in(
        &self,
        block: &Arc<Buffer>,
        number: u64,
        (name, hash): (&[u8], Option<u32>),
        room: &mut Option<Room>,
    ) -> Result<()> {
        let search = self.search(block, number, name)?;
        if search.found.is_some() {
            return Err(Errno::EEXIST);
        }
        if let (None, Some(offset)) = (&room, search.room) {
            *room = Some(Room { block: block.clone(), number, offset, hash });
        }
        Ok(())
    }
}
