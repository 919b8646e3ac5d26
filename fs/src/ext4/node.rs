//! An inode: read from the disk and checked, changed in memory, and written back to its place in the table.

use super::{
    buffer::{Buffer, Change},
    checksum::crc32c,
    complaints::Place,
    directory::{LastSeen, Places},
    features::{Incompatible, ReadOnlyCompatible},
    layout::{InodeBase, InodeExtra, InodeFlags},
    orphans::Noted,
    transaction::Apply,
    volume::{Turns, Volume},
};
use crate::{AtomicTimestamp, Attributes, Birth, Device, FileType, Result, Timestamp, file::SIZE_MAX};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::offset_of;
use executor::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use executor::sync::{RwLock, SpinMutex};
use syscalls::Errno;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Directories with more links have 1 in their inode (`dir_nlink`), and files cannot have more.
pub(super) const LINKS_MAX: u32 = 65000;

/// An inode.
pub(super) struct Node {
    pub volume: Arc<Volume>,
    /// Their size is what programs see; [`Node::stored_size`] is what the disk knows.
    pub attributes: Attributes,
    pub number: u32,
    /// What the check sums of its blocks begin with.
    pub seed: u32,
    pub generation: u32,
    flags: AtomicU32,
    /// The root of its extents, its block numbers, or its first bytes.
    block: SpinMutex<[u8; 60]>,
    /// The block of its attributes, or zero.
    xattr_block: AtomicU64,
    /// The bytes of the inode in which attributes are; perhaps none.
    pub xattr_body: SpinMutex<Box<[u8]>>,
    /// Read while attributes are looked for, written to while they change.
    pub xattr_lock: RwLock<()>,
    /// Where in the inode its known and unknown fields end.
    body_at: usize,
    /// Of a directory: where its blocks are.
    pub places: Places,
    /// Where an entry of it was seen last.
    pub last_seen: LastSeen,
    stored_size: AtomicU64,
    /// The block of the table in which it is, and where in there.
    table: (Arc<Buffer>, usize),
    /// The last transaction that has something of this file, or zero.
    transaction: AtomicU64,
    /// The last transaction at whose end it was to be stored, or zero.
    stored_at_end: AtomicU64,
    /// Whether it has changes that are stored then, if not before. SeqCst; pairs with `is_leaving`.
    has_changes: AtomicBool,
    /// Whether it goes from memory then.
    is_leaving: AtomicBool,
    /// Whether times have changed since it was stored.
    has_new_times: AtomicBool,
    /// The last access that is stored. Reading notes accesses in memory alone.
    stored_access: AtomicTimestamp,
    /// Its place in the table is another file's, or nobody's. Changed under the lock of the table's block.
    is_freed: AtomicBool,
    /// The next file to delete, while this is one; or when it was deleted.
    pub(super) next_orphan: AtomicU32,
    /// Where it is noted that it is to be deleted, or cut off.
    pub noted: Noted,
    /// Written to while the contents' size or blocks are changed by programs, so that each write is whole; read while blocks
    /// that the file has are written to past the cache.
    pub order: RwLock<()>,
    /// Read while contents are read from their blocks, written to while the blocks change.
    pub map_lock: RwLock<()>,
    /// By page, how many blocks it has been promised, which are chosen when it is stored.
    pub(super) promised: SpinMutex<BTreeMap<u64, u64>>,
}

/// A time from its seconds and, where the inode has room for them, two more bits of the seconds below the nanoseconds.
fn time(seconds: U32, extra: U32) -> Timestamp {
    let (seconds, extra) = (seconds.get() as i32, extra.get());
    Timestamp {
        seconds: i64::from(seconds) + (i64::from(extra & 3) << 32),
        nanoseconds: (extra >> 2).min(999_999_999),
    }
}

/// The two parts of a time as they are stored; with `wide`, as far as the second reaches.
fn store_time(time: Timestamp, wide: bool, seconds: &mut U32, extra: &mut U32) {
    let (least, most) = (i64::from(i32::MIN), i64::from(i32::MAX) + if wide { 3 << 32 } else { 0 });
    let clamped = time.seconds.clamp(least, most);
    seconds.set(clamped as u32);
    let above = (clamped - i64::from(clamped as i32)) >> 32;
    extra.set(time.nanoseconds << 2 | above as u32 & 3);
}

/// The device number in a device node's inode: the old form, or the new.
fn device(block: &[u8; 60]) -> Device {
    let Ok((words, _)) = <[U32; 2]>::read_from_prefix(block) else { return Device(0) };
    let [old, new] = words.map(U32::get);
    if old != 0 {
        Device::new(old >> 8 & 0xff, old & 0xff)
    } else {
        Device::new(new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
    }
}

/// A device number as it is stored.
pub(super) fn store_device(device: Device) -> [u8; 60] {
    let mut block = [0; 60];
    let (major, minor) = (device.major(), device.minor());
    if major < 256 && minor < 256 {
        block[..4].copy_from_slice(&(major << 8 | minor).to_le_bytes());
    } else {
        let new = minor & 0xff | major << 8 | (minor & !0xff) << 12;
        block[4..8].copy_from_slice(&new.to_le_bytes());
    }
    block
}

/// What a new inode has.
pub(super) struct NewNode {
    pub number: u32,
    pub table: (Arc<Buffer>, usize),
    pub generation: u32,
    pub flags: InodeFlags,
    pub block: [u8; 60],
    pub birth: Birth,
}

/// What who reads an inode expects of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The file system has a name for it.
    Name,
    /// It is in use, with or without a name.
    Use,
    /// Nothing: the number comes from somebody who may know an older state, or none.
    Nothing,
}

impl Node {
    /// Reads an inode that is in use. `ESTALE` if it is not, and nothing else was expected.
    pub async fn read(volume: &Arc<Volume>, number: u32, expected: Expected) -> Result<Node> {
        let wrong = |what| match expected {
            Expected::Nothing => Errno::ESTALE,
            _ => volume.corrupt(Place::Inode(number), what),
        };
        let table = volume.inode(number).await?;
        let size = volume.geometry.inode_size;
        let bytes: Box<[u8]> = {
            let block = table.0.read();
            if block.is_wrong(table.1 / size) {
                return Err(wrong("check sum is wrong"));
            }
            block[table.1..table.1 + size].into()
        };
        Self::parse(volume, number, &bytes, table, expected).map_err(wrong)
    }

    /// An inode that is being made.
    pub fn new(volume: &Arc<Volume>, new: NewNode) -> Self {
        let seed =
            crc32c(crc32c(volume.geometry.seed, &new.number.to_le_bytes()), &new.generation.to_le_bytes());
        let body_at = size_of::<InodeBase>() + usize::from(volume.geometry.extra_size);
        let body = volume.geometry.inode_size - body_at;
        Node {
            volume: volume.clone(),
            attributes: Attributes::new(new.birth),
            number: new.number,
            seed,
            generation: new.generation,
            flags: AtomicU32::new(new.flags.bits()),
            block: SpinMutex::new(new.block),
            xattr_block: AtomicU64::new(0),
            xattr_body: SpinMutex::new(alloc::vec![0; body].into()),
            xattr_lock: RwLock::new(()),
            body_at,
            places: Places::new(),
            last_seen: LastSeen::nowhere(),
            stored_size: AtomicU64::new(0),
            table: new.table,
            transaction: AtomicU64::new(0),
            stored_at_end: AtomicU64::new(0),
            has_changes: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            has_new_times: AtomicBool::new(false),
            stored_access: AtomicTimestamp::new(Timestamp::default()),
            is_freed: AtomicBool::new(false),
            next_orphan: AtomicU32::new(0),
            noted: Noted::default(),
            order: RwLock::new(()),
            map_lock: RwLock::new(()),
            promised: SpinMutex::new(BTreeMap::new()),
        }
    }

    fn parse(
        volume: &Arc<Volume>,
        number: u32,
        bytes: &[u8],
        table: (Arc<Buffer>, usize),
        expected: Expected,
    ) -> core::result::Result<Node, &'static str> {
        let geometry = &volume.geometry;
        let Ok((base, rest)) = InodeBase::read_from_prefix(bytes) else { return Err("is too short") };
        let (extra, xattr_body) = split(rest)?;
        if base.links.get() == 0 && expected != Expected::Use {
            return Err("is not in use, but has a name");
        }
        let kind = match FileType::from_mode(base.mode.get().into()) {
            Some(kind) if base.mode.get() >> 12 != 0 => kind,
            _ => return Err("has no type"),
        };
        let flags = InodeFlags::from_bits_retain(base.flags.get());
        if flags.contains(InodeFlags::INLINE_DATA) && !geometry.has(Incompatible::INLINE_DATA)
            || flags.contains(InodeFlags::EXTENTS) && !geometry.has(Incompatible::EXTENTS)
        {
            return Err("has flags of features that the file system has not");
        }
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let long = kind == FileType::Regular || geometry.has(Incompatible::LARGE_DIRECTORY);
        let size = pair(base.size.get(), if long { base.size_high.get() } else { 0 });
        if size > size_max(geometry.block_size, flags) {
            return Err("is too long");
        }
        let blocks = pair(base.blocks.get(), base.blocks_high.get().into());
        let huge = geometry.features.read_only.contains(ReadOnlyCompatible::HUGE_FILE);
        let blocks = match huge {
            false => base.blocks.get().into(),
            true if flags.contains(InodeFlags::HUGE_FILE) => blocks * (geometry.block_size / 512),
            true => blocks,
        };
        let special = matches!(kind, FileType::Character | FileType::Block);
        let pair16 = |low: u16, high: u16| u32::from(high) << 16 | u32::from(low);
        let mut attributes = Attributes::new(Birth {
            dev: volume.disk.device().device(),
            ino: number.into(),
            kind,
            permissions: u32::from(base.mode.get()) & 0o7777,
            uid: pair16(base.uid.get(), base.uid_high.get()),
            gid: pair16(base.gid.get(), base.gid_high.get()),
            rdev: if special { device(&base.block) } else { Device(0) },
        });
        let changed = time(base.changed, extra.changed);
        attributes.set_links(base.links.get().into());
        attributes.set_size(size);
        attributes.blocks.store(blocks, Relaxed);
        attributes.accessed.store(time(base.accessed, extra.accessed));
        attributes.modified.store(time(base.modified, extra.modified));
        attributes.changed.store(changed);
        let has_creation = extra.created.get() != 0 || extra.created_extra.get() != 0;
        attributes.created = if has_creation { time(extra.created, extra.created_extra) } else { changed };
        let wide = geometry.has(Incompatible::SIXTY_FOUR_BIT);
        let xattr_high = if wide { base.xattr_block_high.get() } else { 0 };
        let generation = base.generation.get();
        Ok(Node {
            volume: volume.clone(),
            attributes,
            number,
            seed: crc32c(crc32c(geometry.seed, &number.to_le_bytes()), &generation.to_le_bytes()),
            generation,
            flags: AtomicU32::new(flags.bits()),
            block: SpinMutex::new(base.block),
            xattr_block: AtomicU64::new(pair(base.xattr_block.get(), xattr_high.into())),
            body_at: size_of::<InodeBase>() + usize::from(extra.extra_size.get()),
            xattr_body: SpinMutex::new(xattr_body.into()),
            xattr_lock: RwLock::new(()),
            places: Places::new(),
            last_seen: LastSeen::nowhere(),
            stored_size: AtomicU64::new(size),
            table,
            transaction: AtomicU64::new(0),
            stored_at_end: AtomicU64::new(0),
            has_changes: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            has_new_times: AtomicBool::new(false),
            stored_access: AtomicTimestamp::new(time(base.accessed, extra.accessed)),
            is_freed: AtomicBool::new(false),
            next_orphan: AtomicU32::new(base.deleted.get()),
            noted: Noted::default(),
            order: RwLock::new(()),
            map_lock: RwLock::new(()),
            promised: SpinMutex::new(BTreeMap::new()),
        })
    }

    /// The block of the table in which it is, and where in there.
    pub fn table(&self) -> &(Arc<Buffer>, usize) {
        &self.table
    }

    /// Writes the inode to its place in the table. Changes one block.
    pub fn store(&self, apply: &Apply<'_>) {
        self.has_new_times.store(false, Relaxed);
        self.has_changes.store(false, SeqCst);
        self.stored_access.store(self.attributes.accessed.load());
        // Release pairs with the Acquire in `transaction`.
        self.transaction.store(apply.transaction(), Release);
        self.put_into(&mut self.table.0.write(apply));
    }

    /// As [`store`](Self::store), for a directory in which names are changed again and again: it is written to its place once,
    /// when the transaction ends.
    pub fn store_at_end(self: &Arc<Self>, apply: &Apply<'_>) {
        let transaction = apply.transaction();
        if self.stored_at_end.load(Relaxed) != transaction {
            if !apply.store_at_end(self) {
                return self.store(apply);
            }
            // Joins the transaction.
            drop(self.table.0.write(apply));
            self.stored_at_end.store(transaction, Relaxed);
        }
        self.transaction.store(transaction, Release);
        // If it goes from memory before, it is stored then, and not at the end.
        self.has_changes.store(true, SeqCst);
    }

    /// Writes it to its place at the end of a transaction that it has joined, unless it has been stored since: then it may have
    /// gone from memory, and what is there is another's, which has been read after that.
    pub fn store_now(&self, transaction: u64) {
        if self.has_changes.swap(false, SeqCst)
            && let Some(mut bytes) = self.table.0.write_at_end(transaction)
        {
            self.has_new_times.store(false, Relaxed);
            self.stored_access.store(self.attributes.accessed.load());
            self.put_into(&mut bytes);
        }
    }

    /// There is no memory for who would store it before it goes from memory: whether it goes at the end of the transaction
    /// that stores it. Until then nobody reads it from the disk.
    pub fn leaves_at_end(&self) -> bool {
        if !self.has_changes.load(SeqCst) {
            return false;
        }
        self.is_leaving.store(true, SeqCst);
        // Either the transaction ends behind this and sees it, or its end is seen here.
        self.has_changes.load(SeqCst) || !self.is_leaving.swap(false, SeqCst)
    }

    /// The transaction at whose end it was to be stored has ended. With no lock held.
    pub fn note_end(self: &Arc<Self>) {
        if self.is_leaving.swap(false, SeqCst) {
            self.volume.inodes.leave(self);
        }
    }

    /// Gives up changes, as nothing is written any more. With no lock held.
    pub fn forget_changes(self: &Arc<Self>) {
        self.has_changes.store(false, SeqCst);
        self.note_end();
    }

    fn put_into(&self, bytes: &mut Change<'_>) {
        let (at, size) = (self.table.1, self.volume.geometry.inode_size);
        // Who noticed new times before it was deleted may come late.
        if !self.is_freed.load(Relaxed) {
            bytes.touch_part(at / size);
            self.put(&mut bytes[at..at + size]);
        }
    }

    /// Stores it for the last time, before its place is given to others.
    pub fn store_last(&self, apply: &Apply<'_>) {
        self.store(apply);
        let _bytes = self.table.0.write(apply);
        self.is_freed.store(true, Relaxed);
    }

    fn put(&self, bytes: &mut [u8]) {
        let Ok((base, rest)) = InodeBase::mut_from_prefix(bytes) else { return };
        let (geometry, attributes) = (&self.volume.geometry, &self.attributes);
        base.mode.set((attributes.kind.mode_bits() | attributes.permissions()) as u16);
        base.uid.set(attributes.uid() as u16);
        base.uid_high.set((attributes.uid() >> 16) as u16);
        base.gid.set(attributes.gid() as u16);
        base.gid_high.set((attributes.gid() >> 16) as u16);
        let size = self.stored_size();
        base.size.set(size as u32);
        base.size_high.set((size >> 32) as u32);
        base.links.set(attributes.links() as u16);
        base.deleted.set(self.next_orphan.load(Relaxed));
        base.generation.set(self.generation);
        base.block = *self.block.lock();
        let xattr_block = self.xattr_block();
        base.xattr_block.set(xattr_block as u32);
        base.xattr_block_high.set((xattr_block >> 32) as u16);
        let mut flags = self.flags() - InodeFlags::HUGE_FILE;
        let mut blocks = attributes.blocks.load(Relaxed);
        if blocks >> 48 != 0 {
            flags |= InodeFlags::HUGE_FILE;
            blocks /= geometry.block_size / 512;
        }
        base.flags.set(flags.bits());
        base.blocks.set(blocks as u32);
        base.blocks_high.set((blocks >> 32) as u16);

        let mut extra = InodeExtra::new_zeroed();
        let known = (self.body_at - size_of::<InodeBase>()).min(size_of::<InodeExtra>());
        extra.as_mut_bytes()[..known].copy_from_slice(&rest[..known]);
        extra.extra_size.set((self.body_at - size_of::<InodeBase>()) as u16);
        let has = |end: usize| known >= end;
        let wide = has(offset_of!(InodeExtra, changed) + 4);
        store_time(attributes.changed.load(), wide, &mut base.changed, &mut extra.changed);
        let wide = has(offset_of!(InodeExtra, modified) + 4);
        store_time(attributes.modified.load(), wide, &mut base.modified, &mut extra.modified);
        let wide = has(offset_of!(InodeExtra, accessed) + 4);
        store_time(attributes.accessed.load(), wide, &mut base.accessed, &mut extra.accessed);
        store_time(attributes.created, true, &mut extra.created, &mut extra.created_extra);
        rest[..known].copy_from_slice(&extra.as_bytes()[..known]);
        let body = self.xattr_body.lock();
        let at = rest.len() - body.len();
        rest[at..].copy_from_slice(&body);
    }

    /// Times have changed, and nothing else: they are stored with the next commit.
    pub fn note_times(self: &Arc<Self>) {
        if !self.has_new_times.load(Relaxed)
            && let Ok(transactions) = self.volume.transactions()
            && !self.has_new_times.swap(true, Relaxed)
        {
            let mut list = self.volume.new_times.lock();
            if list.try_reserve(1).is_ok() {
                list.push(self.clone());
            } else {
                // With the next change, then.
                self.has_new_times.store(false, Relaxed);
            }
            drop(list);
            transactions.note_begin();
        }
    }

    /// Erases what was in its place before. For an inode that is being made, before it is stored.
    pub fn clear(&self, apply: &Apply<'_>) {
        let (table, at) = &self.table;
        table.write(apply)[*at..*at + self.volume.geometry.inode_size].fill(0);
    }

    /// Flags.
    pub fn flags(&self) -> InodeFlags {
        InodeFlags::from_bits_retain(self.flags.load(Relaxed))
    }

    /// Whether it has a flag.
    pub fn has(&self, flag: InodeFlags) -> bool {
        self.flags().contains(flag)
    }

    /// Sets or takes a flag, by who may change the inode.
    pub fn set_flag(&self, flag: InodeFlags, set: bool) {
        let mut flags = self.flags();
        flags.set(flag, set);
        self.flags.store(flags.bits(), Relaxed);
    }

    /// The root of its extents, its block numbers, or its first bytes.
    pub fn block(&self) -> [u8; 60] {
        *self.block.lock()
    }

    /// Changes that, by who may change the inode.
    pub fn set_block(&self, block: [u8; 60]) {
        *self.block.lock() = block;
    }

    /// The block of its attributes, or zero.
    pub fn xattr_block(&self) -> u64 {
        self.xattr_block.load(Relaxed)
    }

    /// Sets the block of its attributes, or zero.
    pub fn set_xattr_block(&self, block: u64) {
        self.xattr_block.store(block, Relaxed);
    }

    /// The size that is stored: less than what programs see, while what they have written at the end is only in memory.
    pub fn stored_size(&self) -> u64 {
        self.stored_size.load(Relaxed)
    }

    /// Sets the size that is stored.
    pub fn set_stored_size(&self, size: u64) {
        self.stored_size.store(size, Relaxed);
    }

    /// The size that is stored is at least so much.
    pub fn grow_stored_size(&self, size: u64) {
        self.stored_size.fetch_max(size, Relaxed);
    }

    /// Adds to the storage that it takes, in blocks of the file system.
    pub fn add_blocks(&self, change: i64) {
        let sectors = change * (self.volume.geometry.block_size / 512) as i64;
        self.attributes.blocks.fetch_add(sectors as u64, Relaxed);
    }

    /// The last transaction that has something of this file, or zero.
    pub fn transaction(&self) -> u64 {
        self.transaction.load(Acquire)
    }

    /// Where it is, for complaints.
    pub fn place(&self) -> Place {
        Place::Inode(self.number)
    }

    /// The error for something wrong in this inode or what belongs to it.
    pub fn corrupt(&self, what: &'static str) -> Errno {
        self.volume.corrupt(self.place(), what)
    }
}

/// How long a file can be.
pub(super) fn size_max(block_size: u64, flags: InodeFlags) -> u64 {
    // Blocks are counted with 32 bits.
    if flags.contains(InodeFlags::EXTENTS) { (block_size << 32).min(SIZE_MAX) } else { SIZE_MAX }
}

/// The extra fields that an inode has, zeros for the others, and the bytes behind them.
fn split(rest: &[u8]) -> core::result::Result<(InodeExtra, &[u8]), &'static str> {
    let mut extra = InodeExtra::new_zeroed();
    let Ok((len, _)) = U16::read_from_prefix(rest) else {
        return Ok((extra, &[]));
    };
    let len = usize::from(len.get());
    if len > rest.len() || len % 4 != 0 {
        return Err("extra fields are too long");
    }
    let known = len.min(size_of::<InodeExtra>());
    extra.as_mut_bytes()[..known].copy_from_slice(&rest[..known]);
    // Without extra fields there are no attributes either: they would begin in the field that says so.
    Ok((extra, if len == 0 { &[] } else { &rest[len..] }))
}

impl Node {
    /// Whether there are times or changes that are not stored.
    pub fn is_unstored(&self) -> bool {
        self.has_changes.load(SeqCst)
            || self.has_new_times.load(Relaxed)
            || self.attributes.accessed.load() != self.stored_access.load()
    }

    /// Gives up times that are not stored.
    pub fn forget_times(&self) {
        self.has_new_times.store(false, Relaxed);
    }

    /// Stores times that have changed, and changes that wait for the end of the transaction.
    pub async fn store_times(&self) -> Result<()> {
        if self.is_unstored() {
            let apply = self.volume.begin(1).await?;
            self.store(&apply);
        }
        Ok(())
    }
}

/// Inodes that were taken off the list of those of which only times have changed. What is left of them goes back to it: whoever
/// stores them may be given up while he waits.
struct NewTimes(Vec<Arc<Node>>);

impl Drop for NewTimes {
    fn drop(&mut self) {
        for node in self.0.drain(..) {
            if node.has_new_times.swap(false, Relaxed) {
                node.note_times();
            }
        }
    }
}

impl Volume {
    fn take_new_times(&self) -> NewTimes {
        NewTimes(core::mem::take(&mut *self.new_times.lock()))
    }

    /// Stores the inodes of which only times have changed.
    pub async fn store_times(&self) {
        let (mut taken, mut turns) = (self.take_new_times(), Turns::default());
        while let Some(node) = taken.0.last() {
            if node.has_new_times.load(Relaxed) {
                match self.begin(1).await {
                    Ok(apply) => node.store(&apply),
                    // With the next commit, if there is to be one.
                    Err(_) => return,
                }
            }
            taken.0.pop();
            turns.next().await;
        }
    }

    /// As [`store_times`](Self::store_times), for who commits: those for which there is no room in the transaction wait for the next.
    pub async fn store_some_times(&self) {
        let (mut taken, mut turns) = (self.take_new_times(), Turns::default());
        while let Some(node) = taken.0.last() {
            if node.has_new_times.load(Relaxed) {
                match self.begin_unless_full(1).await {
                    Ok(Some(apply)) => node.store(&apply),
                    _ => return,
                }
            }
            taken.0.pop();
            turns.next().await;
        }
    }
}
