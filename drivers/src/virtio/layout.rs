//! Where a device's structures are (VIRTIO 1.2, 4.1.4): in its registers, says a list in configuration space.

use super::transport::COMMON_LEN;
use crate::pci::{Bar, ConfigRegionAccess, Function};

/// Some registers of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which base address register leads to them.
    pub bar: usize,
    /// Bytes from there on.
    pub offset: u64,
    /// Bytes.
    pub len: usize,
}

/// What is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Registers that all devices have.
    pub common: Window,
    /// Where a write tells that there is work.
    pub notify: Window,
    /// Bytes between the places of two queues in there.
    pub notify_multiplier: u32,
    /// Registers of this kind of device.
    pub device: Window,
}

/// The most bytes of a structure that are of use: of the two that are registers, and of the one with a place for each queue.
const MOST: [usize; 2] = [4096, 1 << 20];

/// A capability's `cfg_type`.
mod kind {
    pub const COMMON: u8 = 1;
    pub const NOTIFY: u8 = 2;
    pub const DEVICE: u8 = 4;
}

impl Layout {
    /// Where the function has them; None if it is no device of version 1, or they are nowhere.
    pub fn find<A: ConfigRegionAccess>(function: &Function, access: &A) -> Option<Self> {
        let (mut common, mut notify, mut device) = (None, None, None);
        for at in function.vendor_capabilities(access) {
            // SAFETY: reading a capability has no effects but that of the one for access by configuration space, whose data
            // is behind what is read here.
            let word = |offset| unsafe { access.read(function.address, at + offset) };
            let [_, _, len, kind] = word(0).to_le_bytes();
            let window = |most: usize| window(function, word(4) as u8, word(8), word(12), most);
            // Of several of a kind, the device prefers the first.
            match kind {
                kind::COMMON if common.is_none() => {
                    common = window(MOST[0]).filter(|window| window.len >= COMMON_LEN);
                }
                kind::NOTIFY if notify.is_none() && len >= 20 => {
                    notify = window(MOST[1]).map(|window| (window, word(16)));
                }
                kind::DEVICE if device.is_none() => device = window(MOST[0]),
                _ => {}
            }
        }
        let (notify, notify_multiplier) = notify?;
        Some(Self { common: common?, notify, notify_multiplier, device: device? })
    }
}

/// What a capability names, if it is there.
fn window(function: &Function, bar: u8, offset: u32, len: u32, most: usize) -> Option<Window> {
    let Bar::Memory { address: 1.., size, .. } = (*function.bars.get(usize::from(bar))?)? else {
        return None;
    };
    let (offset, end) = (u64::from(offset), u64::from(offset) + u64::from(len));
    let is_there = len > 0 && offset.is_multiple_of(4) && end <= size;
    is_there.then(|| Window { bar: bar.into(), offset, len: (len as usize).min(most) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::scan;
    use crate::pci::tests::{Model, Space};

    /// A capability of five words: the next one, its length and type, and what it names.
    fn capability(space: Space, at: usize, next: u32, kind: u32, place: [u32; 4]) -> Space {
        let space = space.with(at / 4, 0x09 | next << 8 | 20 << 16 | kind << 24, 0);
        place.into_iter().zip(at / 4 + 1..).fold(space, |space, (word, at)| space.with(at, word, 0))
    }

    /// A function with registers at the first (ports) and the fifth base address register (16 KiB).
    fn function(capabilities: &[(u32, [u32; 4])]) -> Option<Layout> {
        let model = Model::default();
        let space = Space::new(0x1af4, 0x1001, 0x01_00_00).with(1, 1 << 20, 0xffff).with(13, 0x40, 0);
        let mut space =
            space.with(4, 0xc001, 0xff80).with(8, 0xfe00_000c, 0xffff_c000).with(9, 0x7f, 0xffff_ffff);
        for (number, &(kind, place)) in capabilities.iter().enumerate() {
            let at = 0x40 + number * 20;
            let next = if number + 1 < capabilities.len() { at as u32 + 20 } else { 0 };
            space = capability(space, at, next, kind, place);
        }
        model.add(0, 3, 0, space);
        Layout::find(&scan(&model, 0..=0)[0], &model)
    }

    const COMMON: (u32, [u32; 4]) = (1, [4, 0, 0x1000, 0]);
    const NOTIFY: (u32, [u32; 4]) = (2, [4, 0x3000, 0x1000, 4]);
    const INTERRUPTS: (u32, [u32; 4]) = (3, [4, 0x1000, 0x1000, 0]);
    const DEVICE: (u32, [u32; 4]) = (4, [4, 0x2000, 0x1000, 0]);
    /// Access by configuration space.
    const INDIRECT: (u32, [u32; 4]) = (5, [0, 0, 0, 0]);

    #[test]
    fn structures_are_where_the_capabilities_say() {
        let window = |offset| Window { bar: 4, offset, len: 0x1000 };
        let expected = Layout {
            common: window(0),
            notify: window(0x3000),
            notify_multiplier: 4,
            device: window(0x2000),
        };
        assert_eq!(function(&[INDIRECT, NOTIFY, DEVICE, INTERRUPTS, COMMON]), Some(expected));
        // The first that is of use counts.
        let others = [(1, [0, 0, 0x1000, 0]), (1, [6, 0, 0x1000, 0]), (1, [4, 0, 0x30, 0]), COMMON];
        let mut all = [others.as_slice(), &[NOTIFY, DEVICE, (4, [4, 0, 0x1000, 0])]].concat();
        assert_eq!(function(&all), Some(expected));
        all.retain(|capability| *capability != COMMON);
        assert_eq!(function(&all), None);
    }

    #[test]
    fn what_is_not_there_is_not_believed() {
        assert_eq!(function(&[]), None);
        let strange = [
            [4, 0x3001, 0x1000, 4],
            [4, 0x3800, 0x1000, 4],
            [4, 0xffff_f000, 0x1000, 4],
            [4, 0x3000, 0xffff_ffff, 4],
            [4, 0x3000, 0, 4],
            // The upper half of a wide one, one that is not there, one that cannot be.
            [5, 0, 0x100, 4],
            [1, 0, 0x100, 4],
            [0xff, 0, 0x100, 4],
        ];
        for place in strange {
            assert_eq!(function(&[COMMON, DEVICE, (2, place)]), None, "{place:x?}");
        }
        let long = Layout { notify_multiplier: 4096, ..function(&[COMMON, DEVICE, NOTIFY]).expect("sound") };
        assert_eq!(function(&[COMMON, DEVICE, (2, [4, 0x3000, 0x1000, 4096])]), Some(long));
    }
}
