//! `/proc/rusk/live_objects`: small kernel objects made for a measurement. A garbage-collected kernel would have to look at
//! each of them again and again; the benchmark `bmgc` shows that fork here does not notice them.
//!
//! Writing N leaves exactly N objects, in a hash table with chains; reading says how many there are. Objects and table
//! are made and freed a few hundred at a time, other tasks running in between.

use alloc::{boxed::Box, format, vec::Vec};

use executor::{sync::Mutex, yield_now};
use fs::{Op, procfs::Text};
use syscalls::Errno;

use crate::memory;

/// Objects made or freed in one poll.
const BATCH: u64 = 256;
/// Heads of chains in one piece of the table: a page.
const HEADS: usize = 4096 / size_of::<Chain>();
/// Most objects: a number that no memory holds.
const MOST: u64 = 1 << 40;

/// The objects behind a head, each owned by the one before it. Chains are short, so freeing one does not recurse deeply.
type Chain = Option<Boxed>;
/// A box of one, made without giving up the kernel when there is no memory.
type Boxed = Box<[Object]>;

/// A live object: a key, and the next in its chain.
struct Object {
    key: u64,
    next: Chain,
}

fn boxed(object: Object) -> Result<Boxed, Errno> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Errno::ENOMEM)?;
    one.push(object);
    Ok(one.into_boxed_slice())
}

/// Chains by key. It has a head for every object and grows in pieces that never move.
struct Table {
    pieces: Vec<Box<[Chain]>>,
    objects: u64,
}

static TABLE: Mutex<Table> = Mutex::new(Table { pieces: Vec::new(), objects: 0 });

impl Table {
    /// Adds the object after the last; ENOMEM leaves the table as it was.
    fn push(&mut self) -> Result<(), Errno> {
        let index = self.objects as usize;
        if index / HEADS == self.pieces.len() {
            self.pieces.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let mut piece = Vec::new();
            piece.try_reserve_exact(HEADS).map_err(|_| Errno::ENOMEM)?;
            piece.resize_with(HEADS, || None);
            self.pieces.push(piece.into_boxed_slice());
        }
        let mut object = boxed(Object { key: self.objects, next: None })?;
        let head = self.head(self.objects);
        object[0].next = head.take();
        *head = Some(object);
        self.objects += 1;
        Ok(())
    }

    /// Frees the last object.
    fn pop(&mut self) {
        let Some(key) = self.objects.checked_sub(1) else { return };
        let head = self.head(key);
        if let Some(mut object) = head.take() {
            debug_assert_eq!(object[0].key, key);
            *head = object[0].next.take();
        }
        self.objects = key;
        if (key as usize).is_multiple_of(HEADS) {
            self.pieces.pop();
        }
    }

    /// The chain of a key, within the piece that is filled at the moment: multiplication scatters the keys over it.
    fn head(&mut self, key: u64) -> &mut Chain {
        let scattered = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &mut self.pieces[key as usize / HEADS][scattered as usize % HEADS]
    }
}

/// Makes or frees objects until there are `wanted`; ENOMEM puts back the number that there was.
async fn resize(wanted: u64) -> Result<(), Errno> {
    let mut table = TABLE.lock().await;
    let before = table.objects;
    let grown = grow(&mut table, wanted).await;
    shrink(&mut table, if grown.is_ok() { wanted } else { before }).await;
    grown
}

async fn grow(table: &mut Table, wanted: u64) -> Result<(), Errno> {
    while table.objects < wanted {
        // The objects must not eat up what the kernel keeps for itself.
        memory::check_pressure().await?;
        for _ in 0..BATCH.min(wanted - table.objects) {
            table.push()?;
        }
        yield_now().await;
    }
    Ok(())
}

async fn shrink(table: &mut Table, wanted: u64) {
    while table.objects > wanted {
        for _ in 0..BATCH.min(table.objects - wanted) {
            table.pop();
        }
        yield_now().await;
    }
    if wanted == 0 {
        table.pieces = Vec::new();
    }
}

/// `live_objects`, to which their number is written.
pub struct LiveObjects;

impl Text for LiveObjects {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::waiting(async { Ok(format!("{}\n", TABLE.lock().await.objects).into_bytes()) })
    }

    fn write(&self, data: Vec<u8>) -> Op<'_, Result<(), Errno>> {
        let number = core::str::from_utf8(&data).ok().and_then(|text| text.trim().parse().ok());
        match number.filter(|number| *number <= MOST) {
            Some(number) => Op::waiting(resize(number)),
            None => Op::Ready(Err(Errno::EINVAL)),
        }
    }

    fn permissions(&self) -> u32 {
        0o644
    }
}
