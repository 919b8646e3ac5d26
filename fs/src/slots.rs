//! A collection whose items stay where they were put, so that each is found again by its place; places that are given up are
//! used anew. Memory for it may be refused, and to grow it moves nothing but a pointer for 64 items.

use alloc::boxed::Box;
use alloc::vec::Vec;
use syscalls::Errno;

/// Items in a chunk.
const CHUNK: usize = u64::BITS as usize;

/// Items by place.
pub(crate) struct Slots<T> {
    chunks: Vec<Box<Chunk<T>>>,
    /// The first chunk with room; behind the last when there is none.
    roomy: usize,
}

struct Chunk<T> {
    items: [Option<T>; CHUNK],
    /// Which there are.
    full: u64,
    /// The next chunk with room, while this one has some.
    next: usize,
}

impl<T> Slots<T> {
    /// An empty collection.
    pub const fn new() -> Self {
        Slots { chunks: Vec::new(), roomy: 0 }
    }

    /// Puts an item somewhere, and says where; `ENOMEM`.
    pub fn insert(&mut self, item: T) -> Result<usize, Errno> {
        let number = self.roomy;
        if number == self.chunks.len() {
            self.chunks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let items = [const { None }; CHUNK];
            self.chunks.push(Box::new(Chunk { items, full: 0, next: number + 1 }));
        }
        let chunk = &mut self.chunks[number];
        let at = chunk.full.trailing_ones() as usize;
        chunk.items[at] = Some(item);
        chunk.full |= 1 << at;
        if chunk.full == u64::MAX {
            self.roomy = chunk.next;
        }
        Ok(number * CHUNK + at)
    }

    /// The item at a place.
    pub fn get(&self, place: usize) -> Option<&T> {
        self.chunks.get(place / CHUNK)?.items[place % CHUNK].as_ref()
    }

    /// The item at a place, to be changed.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.chunks.get_mut(place / CHUNK)?.items[place % CHUNK].as_mut()
    }

    /// Takes an item out.
    pub fn remove(&mut self, place: usize) -> Option<T> {
        let number = place / CHUNK;
        let chunk = self.chunks.get_mut(number)?;
        let item = chunk.items[place % CHUNK].take()?;
        if chunk.full == u64::MAX {
            chunk.next = core::mem::replace(&mut self.roomy, number);
        }
        chunk.full &= !(1 << (place % CHUNK));
        Some(item)
    }

    /// The items from a place on, with their places.
    pub fn from(&self, place: usize) -> impl Iterator<Item = (usize, &T)> {
        let chunks = (place / CHUNK..).zip(self.chunks.get(place / CHUNK..).unwrap_or_default());
        let there = chunks.filter(|(_, chunk)| chunk.full != 0);
        there
            .flat_map(|(number, chunk)| (number * CHUNK..).zip(&chunk.items))
            .filter_map(move |(at, item)| Some((at, item.as_ref().filter(|_| at >= place)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Random;
    use alloc::collections::BTreeMap;

    #[test]
    fn items_stay_in_their_places() {
        let mut random = Random::new(1);
        let (mut slots, mut model) = (Slots::new(), BTreeMap::new());
        for item in 0..5000 {
            if random.below(5) < 3 - item / 2500 {
                let place = slots.insert(item).unwrap();
                assert!(model.insert(place, item).is_none());
                assert_eq!(slots.get(place), Some(&item));
                assert_eq!(slots.get_mut(place + 1).copied(), model.get(&(place + 1)).copied());
            } else {
                let place = random.below(300) as usize;
                assert_eq!(slots.remove(place), model.remove(&place));
            }
            let from = random.below(200) as usize;
            let items: Vec<_> = slots.from(from).map(|(place, item)| (place, *item)).collect();
            assert_eq!(items, model.range(from..).map(|(place, item)| (*place, *item)).collect::<Vec<_>>());
        }
    }
}
