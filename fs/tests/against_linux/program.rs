//! What is done: random programs, and what is compared of their outcomes.

/// What an operation led to, as text: the result or the error's name.
pub type Outcome = String;

/// Open files that a program has at a time.
pub const SLOTS: usize = 4;

#[derive(Clone, Debug)]
pub enum Operation {
    Open {
        slot: usize,
        path: String,
        flags: i32,
        mode: u32,
    },
    Close {
        slot: usize,
    },
    Read {
        slot: usize,
        offset: u64,
        len: usize,
    },
    Write {
        slot: usize,
        offset: u64,
        len: usize,
        byte: u8,
    },
    SetSize {
        slot: usize,
        size: u64,
    },
    Truncate {
        path: String,
        size: u64,
    },
    Fallocate {
        slot: usize,
        mode: i32,
        offset: i64,
        len: i64,
    },
    Seek {
        slot: usize,
        hole: bool,
        offset: i64,
    },
    StatSlot {
        slot: usize,
    },
    LinkSlot {
        slot: usize,
        path: String,
    },
    Mkdir {
        path: String,
        mode: u32,
    },
    Mknod {
        path: String,
        mode: u32,
        device: u64,
    },
    Rmdir {
        path: String,
    },
    Unlink {
        path: String,
    },
    Symlink {
        target: String,
        path: String,
    },
    Link {
        old: String,
        new: String,
        follow: bool,
    },
    Rename {
        old: String,
        new: String,
        flags: u32,
    },
    Stat {
        path: String,
        follow: bool,
    },
    ReadLink {
        path: String,
    },
    List {
        path: String,
    },
    Access {
        path: String,
        mode: u32,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    Chown {
        path: String,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    },
    Times {
        path: String,
        accessed: Time,
        modified: Time,
    },
    SetXattr {
        path: String,
        name: String,
        value: String,
        flags: i32,
    },
    GetXattr {
        path: String,
        name: String,
    },
    RemoveXattr {
        path: String,
        name: String,
    },
    ListXattrs {
        path: String,
    },
    /// Go on as one of [`USERS`].
    Become {
        user: usize,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Time {
    Omit,
    Now,
    At(i64),
}

/// User, group and supplementary groups.
pub const USERS: [(u32, u32, &[u32]); 4] =
    [(0, 0, &[]), (1000, 1000, &[]), (1001, 1001, &[1000]), (1002, 1000, &[5, 1001])];

/// A small random number generator (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn path(&mut self) -> String {
        let mut path = String::new();
        if self.chance(30) {
            path.push('/');
        }
        let depth = self.pick(&[1, 1, 1, 2, 2, 2, 3, 4]);
        for level in 0..depth {
            if level > 0 {
                path.push_str(if self.chance(3) { "//" } else { "/" });
            }
            let name = self.pick(&[
                "a",
                "b",
                "c",
                "d",
                "a",
                "b",
                "c",
                "d",
                "a-name-that-is-longer-than-16",
                ".",
                "..",
            ]);
            path.push_str(name);
        }
        if self.chance(5) {
            path.push('/');
        }
        match self.below(400) {
            0 => String::new(),
            1 => "/".into(),
            2 => "x".repeat(256),
            _ => path,
        }
    }

    fn offset(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => self.below(10) as u64,
            2 => 4096 * self.below(70) as u64,
            3 => 4096 * self.below(4) as u64 + self.below(20) as u64,
            _ => self.below(300_000) as u64,
        }
    }

    fn mode(&mut self) -> u32 {
        self.pick(&[
            0o644, 0o755, 0o777, 0o600, 0o700, 0o000, 0o444, 0o555, 0o4755, 0o2755, 0o2745, 0o1777, 0o6711,
            0o111, 0o070, 0o007,
        ])
    }

    fn id(&mut self) -> Option<u32> {
        self.pick(&[None, Some(0), Some(1000), Some(1001), Some(1002), Some(5)])
    }
}

fn operation(random: &mut Random) -> Operation {
    let slot = random.below(SLOTS);
    match random.below(100) {
        0..14 => {
            let mut flags = random.pick(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR]);
            for (flag, percent) in [
                (libc::O_CREAT, 60),
                (libc::O_EXCL, 15),
                (libc::O_TRUNC, 20),
                (libc::O_APPEND, 15),
                (libc::O_DIRECTORY, 5),
                (libc::O_NOFOLLOW, 10),
                (libc::O_PATH, 4),
                (libc::O_NOATIME, 4),
            ] {
                if random.chance(percent) {
                    flags |= flag;
                }
            }
            if flags & libc::O_CREAT != 0 {
                // Linux has refused both together, in varying ways, over time.
                flags &= !libc::O_DIRECTORY;
            }
            if random.chance(5) {
                flags = libc::O_TMPFILE | libc::O_RDWR | if random.chance(20) { libc::O_EXCL } else { 0 };
            }
            Operation::Open { slot, path: random.path(), flags, mode: random.mode() }
        }
        14..17 => Operation::Close { slot },
        17..24 => Operation::Read { slot, offset: random.offset(), len: random.below(9000) },
        24..31 => Operation::Write {
            slot,
            offset: random.offset(),
            len: random.below(9000),
            byte: random.below(256) as u8,
        },
        31..34 => Operation::SetSize { slot, size: random.offset() },
        34..36 => Operation::Truncate { path: random.path(), size: random.offset() },
        36..39 => {
            let mode = random.pick(&[0, 1, 3, 3, 2, 5, 64, 8]);
            Operation::Fallocate { slot, mode, offset: random.offset() as i64, len: random.offset() as i64 }
        }
        39..41 => Operation::Seek { slot, hole: random.chance(50), offset: random.offset() as i64 },
        41..43 => Operation::StatSlot { slot },
        43..44 => Operation::LinkSlot { slot, path: random.path() },
        44..51 => Operation::Mkdir { path: random.path(), mode: random.mode() },
        51..53 => {
            let (kind, device) = random.pick(&[
                (libc::S_IFIFO, 0),
                (libc::S_IFSOCK, 0),
                (libc::S_IFCHR, 0),
                (libc::S_IFBLK, 0x99),
                (libc::S_IFREG, 0),
                (0, 0),
                (libc::S_IFDIR, 0),
            ]);
            Operation::Mknod { path: random.path(), mode: kind | random.mode(), device }
        }
        53..56 => Operation::Rmdir { path: random.path() },
        56..60 => Operation::Unlink { path: random.path() },
        60..64 => Operation::Symlink { target: random.path(), path: random.path() },
        64..68 => Operation::Link { old: random.path(), new: random.path(), follow: random.chance(30) },
        68..76 => {
            let flags = random.pick(&[0, 0, 0, 1, 2, 3]);
            Operation::Rename { old: random.path(), new: random.path(), flags }
        }
        76..81 => Operation::Stat { path: random.path(), follow: random.chance(50) },
        81..83 => Operation::ReadLink { path: random.path() },
        83..86 => Operation::List { path: random.path() },
        86..88 => Operation::Access { path: random.path(), mode: random.below(8) as u32 },
        88..91 => Operation::Chmod { path: random.path(), mode: random.mode() },
        91..93 => Operation::Chown {
            path: random.path(),
            uid: random.id(),
            gid: random.id(),
            follow: random.chance(50),
        },
        93..94 => {
            let time = |random: &mut Random| match random.below(3) {
                0 => Time::Omit,
                1 => Time::Now,
                _ => Time::At(random.pick(&[0, 1, 1_000_000_000, -5, 1 << 32, (1 << 34) - (1 << 31) - 1])),
            };
            Operation::Times { path: random.path(), accessed: time(random), modified: time(random) }
        }
        94..97 => {
            let path = random.path();
            let name = random
                .pick(&[
                    "user.one",
                    "user.two",
                    "trusted.one",
                    "security.one",
                    "nothing.one",
                    "user",
                    "user.",
                ])
                .to_string();
            match random.below(5) {
                0 | 1 => {
                    let value = "v".repeat(random.below(20));
                    Operation::SetXattr { path, name, value, flags: random.pick(&[0, 0, 1, 2]) }
                }
                2 => Operation::GetXattr { path, name },
                3 => Operation::RemoveXattr { path, name },
                _ => Operation::ListXattrs { path },
            }
        }
        _ => Operation::Become { user: random.pick(&[0, 0, 0, 1, 2, 3]) },
    }
}

/// The program of a seed. Half of them allocate without writing, and the other half look for data and holes: on tmpfs
/// allocated pages that were never written are holes, on ours they are data, and both are right.
pub fn generate(seed: u64, length: usize) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let wanted = |operation: &Operation| match operation {
        Operation::Seek { .. } => seed.is_multiple_of(2),
        Operation::Fallocate { mode: 0 | 1, .. } => !seed.is_multiple_of(2),
        _ => true,
    };
    std::iter::repeat_with(|| operation(&mut random)).filter(wanted).take(length).collect()
}

/// What stat shows, with inode numbers replaced by the order in which they appeared.
pub struct Shown {
    pub ino: u64,
    pub mode: u32,
    pub links: u64,
    pub uid: u32,
    pub gid: u32,
    pub size: i64,
    pub blocks: i64,
    pub rdev: u64,
}

/// Numbers in the order in which they were first seen.
#[derive(Default)]
pub struct Order(Vec<u64>);

impl Order {
    fn of(&mut self, number: u64) -> usize {
        match self.0.iter().position(|known| *known == number) {
            Some(at) => at,
            None => {
                self.0.push(number);
                self.0.len() - 1
            }
        }
    }

    pub fn show(&mut self, stat: &Shown) -> Outcome {
        let number = self.of(stat.ino);
        let Shown { mode, links, uid, gid, size, blocks, rdev, .. } = stat;
        format!(
            "#{number} {mode:o} links {links} owner {uid}:{gid} size {size} blocks {blocks} rdev {rdev:x}"
        )
    }
}

/// A short account of bytes that were read.
pub fn digest(bytes: &[u8]) -> Outcome {
    let sum = bytes.iter().fold(0u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("{} bytes {sum:x}", bytes.len())
}
