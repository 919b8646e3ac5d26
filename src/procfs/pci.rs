//! `/sys/bus/pci` and `/sys/devices/pci0000:00`: what is on the buses, for lspci(8).
//!
//! ```text
//!   /sys/devices/pci0000:00/0000:00:02.0/0000:05:00.0/class, vendor, config ...     behind a bridge, in its directory
//!   /sys/bus/pci/devices/0000:05:00.0  ─►  ../../../devices/pci0000:00/0000:00:02.0/0000:05:00.0
//! ```

use alloc::{format, string::String, sync::Arc, vec, vec::Vec};
use core::fmt::Write;

use drivers::pci::{Bar, Function};
use fs::{
    FileType, Op,
    procfs::{Bytes, Directory, Fixed, Link, Node},
};
use syscalls::Errno;

use super::text::{Made, TextBuffer};
use crate::device::bus::{self, Bus};

/// Bridges in a row that are followed. Those that are in a circle are none.
const DEEPEST: usize = 32;

/// `/sys/bus/pci/devices`: a link to each function.
pub fn links() -> Node {
    Node::Directory(Arc::new(Links))
}

/// `/sys/devices/pci0000:00`: the functions that are behind no bridge.
pub fn functions() -> Node {
    Node::Directory(Arc::new(Behind(None)))
}

fn name(function: &Function) -> String {
    format!("{}", function.address)
}

fn list(
    functions: impl Iterator<Item = &'static Function>,
    kind: FileType,
    from: u64,
    emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool,
) {
    for (place, function) in (2..).zip(functions).skip_while(|(place, _)| *place < from) {
        if !emit(place, name(function).as_bytes(), kind) {
            return;
        }
    }
}

struct Links;

impl Directory for Links {
    fn lookup(&self, wanted: &[u8]) -> Option<Node> {
        let bus = bus::get()?;
        let function = bus.functions().iter().find(|function| name(function).as_bytes() == wanted)?;
        Some(Node::Link(Arc::new(ToFunction(bus, function))))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let all = bus::get().into_iter().flat_map(Bus::functions);
        list(all, FileType::Symlink, from, emit);
    }
}

struct ToFunction(&'static Bus, &'static Function);

impl Link for ToFunction {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        let ToFunction(bus, function) = *self;
        let mut path = vec![function];
        while let Some(bridge) = bus.bridge_to(path[path.len() - 1]) {
            if path.len() == DEEPEST {
                return Err(Errno::ELOOP);
            }
            path.push(bridge);
        }
        let mut text = String::from("../../../devices/pci0000:00");
        for function in path.iter().rev() {
            text.push('/');
            text.push_str(&name(function));
        }
        Ok(text.into_bytes())
    }
}

/// The functions behind a bridge, or those that are behind none.
struct Behind(Option<&'static Function>);

impl Behind {
    fn functions(&self) -> impl Iterator<Item = &'static Function> + '_ {
        let is_here = |bus: &'static Bus, function: &Function| {
            bus.bridge_to(function).map(|bridge| bridge.address) == self.0.map(|bridge| bridge.address)
        };
        bus::get()
            .into_iter()
            .flat_map(move |bus| bus.functions().iter().filter(move |function| is_here(bus, function)))
    }
}

impl Directory for Behind {
    fn lookup(&self, wanted: &[u8]) -> Option<Node> {
        let function = self.functions().find(|function| name(function).as_bytes() == wanted)?;
        Some(directory(bus::get()?, function))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        list(self.functions(), FileType::Directory, from, emit);
    }
}

/// A function's directory.
fn directory(bus: &'static Bus, function: &'static Function) -> Node {
    let text = |make: fn(&Function, &mut TextBuffer) -> Made| {
        Node::Text(Arc::new(move |text: &mut Vec<u8>| {
            *text = TextBuffer::filled(|out| make(function, out))?;
            Ok(())
        }))
    };
    let entries = vec![
        ("class", text(class)),
        ("config", Node::Bytes(Arc::new(Config(bus, function)))),
        ("device", text(|function, out| Ok(writeln!(out, "0x{:04x}", function.device)?))),
        ("irq", Node::Text(Arc::new(move |text: &mut Vec<u8>| Ok(irq(bus, function, text))))),
        ("modalias", text(modalias)),
        ("resource", text(resource)),
        ("revision", text(|function, out| Ok(writeln!(out, "0x{:02x}", function.revision)?))),
        ("subsystem_device", text(|function, out| Ok(writeln!(out, "0x{:04x}", subsystem(function).1)?))),
        ("subsystem_vendor", text(|function, out| Ok(writeln!(out, "0x{:04x}", subsystem(function).0)?))),
        ("vendor", text(|function, out| Ok(writeln!(out, "0x{:04x}", function.vendor)?))),
    ];
    Node::Directory(Fixed::new(entries, Some(Arc::new(Behind(Some(function))))))
}

/// The line that the firmware has given it, if it has a pin for one.
fn irq(bus: &Bus, function: &Function, text: &mut Vec<u8>) {
    let [line, pin, ..] = bus.word(function, 0x3c).to_le_bytes();
    text.extend_from_slice(format!("{}\n", if pin == 0 { 0 } else { line }).as_bytes());
}

fn subsystem(function: &Function) -> (u16, u16) {
    function.subsystem.unwrap_or_default()
}

fn class(function: &Function, out: &mut TextBuffer) -> Made {
    let class = function.class;
    Ok(writeln!(out, "0x{:02x}{:02x}{:02x}", class.base, class.sub, class.interface)?)
}

fn modalias(function: &Function, out: &mut TextBuffer) -> Made {
    let (vendor, device, class) = (function.vendor, function.device, function.class);
    let (card_vendor, card) = subsystem(function);
    write!(out, "pci:v{vendor:08X}d{device:08X}sv{card_vendor:08X}sd{card:08X}")?;
    Ok(writeln!(out, "bc{:02X}sc{:02X}i{:02X}", class.base, class.sub, class.interface)?)
}

/// First and last address and Linux's flags (`<linux/ioport.h>`) of each base address register; then of the expansion ROM
/// and what a bridge lets through, which are not read.
fn resource(function: &Function, out: &mut TextBuffer) -> Made {
    const PORTS: u64 = 0x100;
    const MEMORY: u64 = 0x200;
    const PREFETCHABLE: u64 = 0x2000;
    const FIXED_SIZE: u64 = 0x40000;
    const WIDE: u64 = 0x0010_0000;
    const LINES: usize = 13;
    let lines = function.bars.iter().map(|bar| match *bar {
        None | Some(Bar::Memory { address: 0, .. } | Bar::Ports { first: 0, .. }) => (0, 0, 0),
        Some(Bar::Memory { address, size, is_wide, is_prefetchable }) => {
            let mut flags = MEMORY | FIXED_SIZE;
            // The low bits are the register's own.
            flags |= if is_wide { WIDE | 0b100 } else { 0 };
            flags |= if is_prefetchable { PREFETCHABLE | 0b1000 } else { 0 };
            (address, address.saturating_add(size - 1), flags)
        }
        Some(Bar::Ports { first, count }) => {
            (u64::from(first), u64::from(first) + u64::from(count) - 1, PORTS | FIXED_SIZE | 1)
        }
    });
    for (first, last, flags) in lines.chain(core::iter::repeat((0, 0, 0))).take(LINES) {
        writeln!(out, "0x{first:016x} 0x{last:016x} 0x{flags:016x}")?;
    }
    Ok(())
}

/// Configuration space. As on a Linux that is locked down, nobody writes it.
struct Config(&'static Bus, &'static Function);

impl Bytes for Config {
    fn read_at(&self, offset: u64, len: usize) -> Op<'_, Result<Vec<u8>, Errno>> {
        let Config(bus, function) = *self;
        let end = offset.saturating_add(len as u64).min(bus.config_len() as u64);
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            let (first, word) = (at as usize & 3, bus.word(function, at as u16 & !3).to_le_bytes());
            let wanted = (end - at).min(4 - first as u64) as usize;
            bytes.extend_from_slice(&word[first..first + wanted]);
            at += wanted as u64;
        }
        Op::Ready(Ok(bytes))
    }

    fn write_at(&self, _offset: u64, _data: Vec<u8>) -> Op<'_, Result<usize, Errno>> {
        Op::Ready(Err(Errno::EPERM))
    }

    fn permissions(&self) -> u32 {
        0o600
    }
}
