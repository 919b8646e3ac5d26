//! Buses that are arrays.

use super::*;
use crate::dma::Mmio;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use executor::sync::SpinMutex;

/// 256 bytes of configuration space: what is in them, and which bits can be written.
#[derive(Clone)]
pub(crate) struct Space {
    words: [u32; 64],
    writable: [u32; 64],
}

#[derive(Default)]
pub(crate) struct Model {
    spaces: RefCell<BTreeMap<(u8, u8, u8), Space>>,
    reads: Cell<usize>,
}

fn key(address: PciAddress) -> (u8, u8, u8) {
    (address.bus(), address.device(), address.function())
}

impl ConfigRegionAccess for Model {
    unsafe fn read(&self, address: PciAddress, offset: u16) -> u32 {
        self.reads.set(self.reads.get() + 1);
        assert!(offset.is_multiple_of(4) && offset < 256);
        self.spaces.borrow().get(&key(address)).map_or(!0, |space| space.words[usize::from(offset / 4)])
    }

    unsafe fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if let Some(space) = self.spaces.borrow_mut().get_mut(&key(address)) {
            let (at, mask) = (usize::from(offset / 4), space.writable[usize::from(offset / 4)]);
            space.words[at] = space.words[at] & !mask | value & mask;
        }
    }
}

impl Space {
    pub(crate) fn new(vendor: u16, device: u16, class: u32) -> Self {
        let mut space = Space { words: [0; 64], writable: [0; 64] };
        space.words[0] = u32::from(device) << 16 | u32::from(vendor);
        space.words[2] = class << 8;
        space.writable[1] = 0xffff;
        space
    }

    fn bridge_to(bus: u8) -> Self {
        let mut space = Space::new(0x1b36, 0x000c, 0x06_04_00);
        space.words[3] = 1 << 16;
        space.words[6] = u32::from(bus) << 8;
        space
    }

    pub(crate) fn with(mut self, word: usize, value: u32, writable: u32) -> Self {
        (self.words[word], self.writable[word]) = (value, writable);
        self
    }
}

impl Model {
    pub(crate) fn add(&self, bus: u8, device: u8, function: u8, space: Space) {
        self.spaces.borrow_mut().insert((bus, device, function), space);
    }

    fn word(&self, at: (u8, u8, u8), word: usize) -> u32 {
        self.spaces.borrow()[&at].words[word]
    }
}

const AHCI: u32 = 0x01_06_01;

#[test]
fn everything_behind_bridges_is_found_once() {
    let model = Model::default();
    model.add(0, 0, 0, Space::new(0x8086, 0x29c0, 0x06_00_00));
    model.add(0, 2, 0, Space::bridge_to(5));
    model.add(0, 3, 0, Space::bridge_to(5));
    model.add(5, 0, 0, Space::bridge_to(0));
    model.add(5, 1, 0, Space::bridge_to(200));
    model.add(200, 31, 0, Space::new(1, 2, 0x02_00_00));
    model.add(0, 31, 0, Space::new(0x8086, 0x2918, 0x06_01_00).with(3, 0x80 << 16, 0));
    model.add(0, 31, 2, Space::new(0x8086, 0x2922, AHCI));
    // Functions of a device that says it has one, and devices without a first function, do not exist.
    model.add(0, 4, 1, Space::new(9, 9, 0));
    model.add(200, 31, 1, Space::new(9, 9, 0));
    let found: Vec<_> = scan(&model, 0..=199).iter().map(|function| key(function.address)).collect();
    let here = vec![(0, 0, 0), (0, 2, 0), (0, 3, 0), (0, 31, 0), (0, 31, 2), (5, 0, 0), (5, 1, 0)];
    assert_eq!(found, here, "bus 200 is not among those asked for");
    let all = scan(&model, 0..=255);
    assert_eq!(all.len(), here.len() + 1);
    assert_eq!(all[4].class, Class { base: 1, sub: 6, interface: 1 });
    assert_eq!((all[4].vendor, all[4].device), (0x8086, 0x2922));
    assert_eq!(key(all[7].address), (200, 31, 0));
}

#[test]
fn registers_have_addresses_and_sizes() {
    let model = Model::default();
    let space = Space::new(0x8086, 0x2922, AHCI)
        .with(1, 0b111, 0xffff)
        .with(4, 0xfebd_5000, 0xffff_f000)
        .with(5, 0xe000_000c, 0xffe0_0000)
        .with(6, 0x0000_0012, 0xffff_ffff)
        .with(7, 0xc061, 0xffe0)
        .with(8, 0x0000_0002, 0xffff_ff00)
        .with(9, 0xfeb0_0004, 0xffff_0000);
    model.add(0, 0, 0, space);
    let function = &scan(&model, 0..=0)[0];
    let memory =
        |address, size, is_wide, is_prefetchable| Bar::Memory { address, size, is_wide, is_prefetchable };
    let expected = [
        Some(memory(0xfebd_5000, 0x1000, false, false)),
        Some(memory(0x12_e000_0000, 0x20_0000, true, true)),
        None,
        Some(Bar::Ports { first: 0xc060, count: 32 }),
        // Below 1 MiB: an address of a kind that is gone.
        None,
        // Wide, and there is no second half.
        None,
    ];
    assert_eq!(function.bars, expected);
    // All is as it was before.
    assert_eq!(model.word((0, 0, 0), 1), 0b111);
    assert_eq!(model.word((0, 0, 0), 5), 0xe000_000c);
    function.enable(&model);
    assert_eq!(model.word((0, 0, 0), 1), 0b100_0000_0111);
}

/// Registers that are an array.
#[derive(Default)]
struct Registers(SpinMutex<Vec<u32>>);

impl Mmio for Registers {
    fn len(&self) -> usize {
        4 * self.0.lock().len()
    }

    fn read32(&self, offset: usize) -> u32 {
        self.0.lock()[offset / 4]
    }

    fn write32(&self, offset: usize, value: u32) {
        self.0.lock()[offset / 4] = value;
    }
}

#[test]
fn messages_by_a_capability() {
    let model = Model::default();
    // Power management at 0x70, then MSI with 64-bit addresses at 0x80.
    let space = Space::new(0x8086, 0x2922, AHCI)
        .with(1, 1 << 20, 0xffff)
        .with(13, 0x70, 0)
        .with(0x70 / 4, 0x8001, 0)
        .with(0x80 / 4, 0x0086_0005, 0x0071_0000)
        .with(0x84 / 4, 0, !3)
        .with(0x88 / 4, 0, !0)
        .with(0x8c / 4, 0, !0);
    model.add(0, 0, 0, space);
    let messages = scan(&model, 0..=0)[0].messages(&model).expect("it has MSI");
    assert_eq!(messages.table(), None);
    let message = Message { address: 0xfee0_1000, data: 0x31 };
    messages.send_one(&model, message, None::<&Registers>);
    assert_eq!(model.word((0, 0, 0), 0x80 / 4), 0x0087_0005);
    assert_eq!(model.word((0, 0, 0), 0x84 / 4), 0xfee0_1000);
    assert_eq!(model.word((0, 0, 0), 0x8c / 4), 0x31);
}

#[test]
fn messages_by_a_table() {
    let model = Model::default();
    // MSI at 0x40, MSI-X at 0x50: three entries at offset 0x800 of the first registers.
    let space = Space::new(0x1af4, 0x1042, 0x01_00_00)
        .with(1, 1 << 20, 0xffff)
        .with(13, 0x40, 0)
        .with(0x40 / 4, 0x5005, 0)
        .with(0x50 / 4, 0x0002_0011, 0xc000_0000)
        .with(0x54 / 4, 0x0800, 0);
    model.add(0, 0, 0, space);
    let messages = scan(&model, 0..=0)[0].messages(&model).expect("it has MSI-X");
    assert_eq!(messages.table(), Some((0, 0x800, 48)));
    let table = Registers(SpinMutex::new(vec![1; 12]));
    let message = Message { address: 0x1_fee0_2000, data: 0x42 };
    messages.send_one(&model, message, Some(&table));
    assert_eq!(*table.0.lock(), [0xfee0_2000, 1, 0x42, 0].repeat(3));
    assert_eq!(model.word((0, 0, 0), 0x50 / 4) >> 30, 0b10);
}

#[test]
fn a_list_without_an_end_is_no_list() {
    // A circle; one within the header; one between words; what a device that is gone answers.
    for (first, word) in [(0x40, 0x4005), (0x10, 0), (0x42, 0), (0x40, 0xffff_ffff), (0x40, 0x0000_4000)] {
        let model = Model::default();
        let space = Space::new(1, 2, AHCI).with(1, 1 << 20, 0).with(13, first, 0).with(16, word, 0);
        model.add(0, 0, 0, space);
        assert!(scan(&model, 0..=0)[0].messages(&model).is_none());
    }
}

#[test]
fn whatever_answers_the_scan_ends() {
    let mut seed = 1_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 16) as u32
    };
    for _ in 0..200 {
        let model = Model::default();
        for _ in 0..20 {
            let mut space = Space { words: [0; 64], writable: [0; 64] };
            space.words.fill_with(|| if random() % 2 == 0 { random() } else { random() & 0xfc });
            space.writable.fill_with(|| if random() % 2 == 0 { random() } else { !0 });
            let place = random();
            model.add(place as u8 % 8, (place >> 8) as u8 % 8, (place >> 16) as u8 % 8, space);
        }
        let found = scan(&model, 0..=255);
        for function in &found {
            function.messages(&model);
        }
        assert!(found.len() <= 20);
        assert!(model.reads.get() < 256 * 32 * 3 + 20 * 200);
    }
}
