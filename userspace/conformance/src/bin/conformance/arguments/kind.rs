//! What arguments are, and what they can be instead.

use super::stage::{Open, Stage};
use crate::check::{BAD, KERNEL, NON_CANONICAL, USER_END};
use std::ffi::CStr;

/// The kind of an argument, with what makes the call a good one.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Never anything else.
    Is(usize),
    /// This, or else one of those.
    Of(usize, &'static [usize]),
    /// An open descriptor.
    Fd(Open),
    /// The same for calls that ask for a node in the tree; Rusk's pipes have none.
    Node(Open),
    /// The directory that a path starts from; good is the working folder.
    At,
    /// A path.
    Path(&'static CStr),
    /// So many bytes that the kernel reads, zeros unless given.
    In(usize),
    /// Words that the kernel reads.
    Words(&'static [usize]),
    /// So many bytes that the kernel writes.
    Out(usize),
    /// As before, but null says that the caller does not want them.
    OutOrNot(usize),
    /// How many bytes there are at a pointer.
    Len(usize),
    /// A place in a file.
    Offset(usize),
    /// Bits, each of which is turned over.
    Flags(u32),
    /// A number out of a few: a selector, a command, a signal.
    Number(usize),
    /// The number of a process; good is the caller's, as 0.
    Pid,
}

/// An argument with a name for the output.
pub type Variant = (String, usize);

fn named(list: &[(&str, usize)]) -> Vec<Variant> {
    list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

impl Kind {
    /// A word for what it is.
    pub fn name(self) -> &'static str {
        match self {
            Self::Is(_) => "fixed",
            Self::Of(..) => "value",
            Self::Fd(_) | Self::Node(_) => "descriptor",
            Self::At => "directory",
            Self::Path(_) => "path",
            Self::In(_) | Self::Words(_) => "input",
            Self::Out(_) | Self::OutOrNot(_) => "output",
            Self::Len(_) => "length",
            Self::Offset(_) => "offset",
            Self::Flags(_) => "flags",
            Self::Number(_) => "number",
            Self::Pid => "process",
        }
    }

    /// What makes the call a good one. Input is laid out anew, output lies apart from it.
    pub fn good(self, stage: &Stage, place: usize) -> usize {
        match self {
            Self::Is(value) | Self::Of(value, _) => value,
            Self::Fd(open) | Self::Node(open) => stage.descriptor(open) as usize,
            Self::At => libc::AT_FDCWD as usize,
            Self::Path(path) => path.as_ptr() as usize,
            Self::In(_) => stage.input(place, &[]),
            Self::Words(words) => stage.input(place, words),
            Self::Out(_) | Self::OutOrNot(_) => stage.output(place),
            Self::Len(length) => length,
            Self::Offset(offset) => offset,
            Self::Flags(flags) => flags as usize,
            Self::Number(number) => number,
            Self::Pid => 0,
        }
    }

    /// What it can be instead.
    pub fn others(self, stage: &Stage) -> Vec<Variant> {
        match self {
            Self::Is(_) => Vec::new(),
            Self::Of(_, others) => {
                others.iter().map(|value| (format!("{}", *value as isize), *value)).collect()
            }
            Self::Fd(_) => descriptors(stage),
            Self::Node(_) => {
                let mut others = descriptors(stage);
                others.retain(|(name, _)| name != "reader" && name != "writer");
                others
            }
            Self::At => {
                let mut others = descriptors(stage);
                others.push(("working".into(), libc::AT_FDCWD as usize));
                others
            }
            Self::Path(_) => paths(stage),
            Self::In(bytes) => pointers(stage, bytes),
            Self::Words(words) => pointers(stage, size_of_val(words)),
            Self::Out(bytes) | Self::OutOrNot(bytes) => {
                let mut others = pointers(stage, bytes);
                others.push(("read-only".into(), stage.read_only()));
                others
            }
            Self::Len(_) => named(&[
                ("0", 0),
                ("1", 1),
                ("-1", usize::MAX),
                ("2^31-1", 0x7fff_ffff),
                ("2^31", 1 << 31),
                ("2^32", 1 << 32),
                ("2^47", 1 << 47),
                ("2^63-1", usize::MAX >> 1),
                ("2^63", 1 << 63),
            ]),
            Self::Offset(_) => named(&[
                ("-1", usize::MAX),
                ("2^62", 1 << 62),
                ("2^63-1", usize::MAX >> 1),
                ("2^63", 1 << 63),
            ]),
            Self::Flags(good) => (0..32).map(|bit| (format!("{bit}"), (good ^ 1 << bit) as usize)).collect(),
            Self::Number(_) => named(&[
                ("-1", usize::MAX),
                ("9999", 9999),
                ("2^31-1", 0x7fff_ffff),
                ("-2^31", 1 << 31),
                ("2^63", 1 << 63),
            ]),
            Self::Pid => named(&[("nobody", 0x3f_ffff), ("2^31-1", 0x7fff_ffff), ("-2^31", 1 << 31)]),
        }
    }
}

fn descriptors(stage: &Stage) -> Vec<Variant> {
    let mut all = named(&[
        ("closed", 99),
        ("-1", usize::MAX),
        ("2^31-1", 0x7fff_ffff),
        ("-2^31", 1 << 31),
        ("2^32-1", 0xffff_ffff),
    ]);
    all.extend(Open::ALL.iter().map(|open| (open.name().to_owned(), stage.descriptor(*open) as usize)));
    all
}

fn paths(stage: &Stage) -> Vec<Variant> {
    let mut all = named(&[
        ("null", 0),
        ("low", BAD),
        ("kernel", KERNEL),
        ("end", USER_END),
        ("non-canonical", NON_CANONICAL),
        ("last", usize::MAX),
        ("unended", stage.unended_path()),
        ("no-access", stage.no_access()),
    ]);
    let names: [(&str, &CStr); 6] = [
        ("empty", c""),
        ("missing", c"missing"),
        ("below-missing", c"missing/x"),
        ("below-file", c"file/x"),
        ("loop", c"loop/x"),
        ("file/", c"file/"),
    ];
    all.extend(names.iter().map(|(name, path)| ((*name).to_owned(), path.as_ptr() as usize)));
    all.extend(named(&[
        ("256", stage.long_name()),
        ("4095", stage.path_of(4095)),
        ("4096", stage.path_of(4096)),
    ]));
    all
}

/// Where memory is not as it should be. Those that lie partly well are told apart from those that do not at all.
fn pointers(stage: &Stage, bytes: usize) -> Vec<Variant> {
    let mut all = named(&[
        ("null", 0),
        ("low", BAD),
        ("no-access", stage.no_access()),
        ("unmapped", stage.edge()),
        ("kernel", KERNEL),
        ("end", USER_END),
        ("before-end", USER_END - 1),
        ("non-canonical", NON_CANONICAL),
        ("last", usize::MAX),
    ]);
    if bytes > 1 {
        all.push(("half".into(), stage.edge() - bytes / 2));
    }
    all
}
