//! The grammar: of what kind an argument is.

/// What an argument, or a part of a block of memory, is when the call is well made. The generator spoils some.
#[derive(Clone, Copy)]
pub enum Kind {
    /// One of these numbers.
    One(&'static [u64]),
    /// Some of these bits.
    Bits(&'static [u64]),
    /// A number below this one.
    Below(u64),
    /// A number from the first on, so many of them.
    Range(u64, u64),
    /// Nothing: a part of any length, of zeros.
    Gap,
    /// A descriptor.
    Fd(File),
    /// The number of a System V object.
    Id(Object),
    /// The folder that a path starts from: mostly the working one.
    At,
    /// The address of a context for transfers that the thread has to itself.
    Context,
    /// A process of this run.
    Pid,
    /// A signal.
    Signal,
    /// What happens on a signal: an address that can be called, or a number for the default or for nothing.
    Handler,
    /// Where a handler returns to.
    Restorer,
    /// The start of a page in the arena.
    Page,
    /// Bytes of some pages.
    Span,
    /// How long what the argument before points to is: bytes, or elements.
    Length,
    /// So many bytes at most, with whatever is there; the kernel reads or writes them.
    Buffer(u64),
    /// A block in memory, with its parts laid out one after the other without holes.
    Block(&'static [Part]),
    /// Up to so many of the same part.
    Array(u64, &'static [Part]),
    /// A text with its NUL.
    Text(&'static [&'static str]),
    /// Pointers to some texts, and null.
    Texts(&'static [&'static str]),
    /// The descriptor of a ring that the thread has to itself, in which up to so many of these requests then wait to be
    /// taken.
    Entries(u64, &'static [Request]),
    /// One of these kinds.
    Either(&'static [Kind]),
}

/// So many bytes (1, 2, 4 or 8, unless it is a gap) of a block.
pub type Part = (u8, Kind);

/// What an entry of a ring asks for: each field is of a kind, as an argument is.
pub struct Request {
    /// What is to be done: one of these.
    pub opcodes: &'static [u8],
    /// A descriptor.
    pub fd: Kind,
    /// An offset, or what else lies there.
    pub off: Kind,
    /// An address, or another request's name.
    pub addr: Kind,
    /// How much.
    pub len: Kind,
    /// The operation's own flags.
    pub flags: Kind,
    /// A second descriptor, or the place of a registered one.
    pub other: Kind,
    /// A third address, or the place of a registered file.
    pub third: Kind,
    /// Whether it mostly chooses its buffer from a group.
    pub chooses: bool,
}

impl Request {
    /// How many names requests go by: few, so that others find them.
    pub const NAMES: u64 = 16;

    /// The same with a second descriptor.
    pub const fn with(self, other: Kind) -> Self {
        Self { other, ..self }
    }

    /// The same with a third address.
    pub const fn and(self, third: Kind) -> Self {
        Self { third, ..self }
    }

    /// The same with a buffer that is chosen.
    pub const fn choosing(self) -> Self {
        Self { chooses: true, ..self }
    }
}

/// A request without a second descriptor.
pub const fn request(
    opcodes: &'static [u8],
    fd: Kind,
    off: Kind,
    addr: Kind,
    len: Kind,
    flags: Kind,
) -> Request {
    const NONE: Kind = Kind::One(&[0]);
    Request { opcodes, fd, off, addr, len, flags, other: NONE, third: NONE, chooses: false }
}

/// Of what sort a descriptor is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum File {
    /// A file with bytes.
    Regular,
    /// A file in memory, without a name.
    Nameless,
    /// A folder.
    Folder,
    /// A pipe's end for reading.
    Reader,
    /// A pipe's end for writing.
    Writer,
    /// A connected socket.
    Socket,
    /// A socket that waits for connections.
    Listener,
    /// A set of descriptors to wait for.
    Epoll,
    /// A counter.
    Event,
    /// A timer.
    Timer,
    /// Signals to read.
    Signals,
    /// A process.
    Process,
    /// Changes in folders to read.
    Notify,
    /// A ring for calls.
    Ring,
    /// A terminal's or its master's.
    Terminal,
    /// A file of /proc.
    Proc,
    /// Any of the others.
    Any,
}

impl File {
    /// How many sorts there are, [`Any`](Self::Any) aside.
    pub const COUNT: usize = Self::Any as usize;
}

/// Of what sort a System V object is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Object {
    /// A piece of memory.
    Segment,
    /// A set of semaphores.
    Semaphores,
    /// A queue of messages.
    Queue,
}

impl Object {
    /// How many sorts there are.
    pub const COUNT: usize = Self::Queue as usize + 1;
}

/// What a call leaves when it succeeds.
#[derive(Clone, Copy)]
pub enum Makes {
    /// Nothing that others can use.
    Nothing,
    /// A descriptor, which it returns.
    One(File),
    /// Two descriptors, which it stores where this argument points to.
    Pair([File; 2], usize),
    /// A System V object, whose number it returns.
    Object(Object),
    /// A process: the call returns twice.
    Process,
}

/// A call, and what it takes.
pub struct Call {
    /// The name in its manual page, with a word for what is special about this row.
    pub name: &'static str,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub arguments: &'static [Kind],
    /// What it leaves.
    pub makes: Makes,
    /// Whether not much is to be expected of its caller afterwards.
    pub last: bool,
    /// Whether, with privileges, it could reach what is not this run's: its arguments are not spoilt then.
    pub reaches: bool,
}

/// A call that makes nothing.
pub const fn call(name: &'static str, number: i64, arguments: &'static [Kind]) -> Call {
    Call { name, number, arguments, makes: Makes::Nothing, last: false, reaches: false }
}

impl Call {
    /// It returns a descriptor.
    pub const fn opens(self, file: File) -> Self {
        Self { makes: Makes::One(file), ..self }
    }

    /// It stores two descriptors.
    pub const fn opens_pair(self, files: [File; 2], argument: usize) -> Self {
        Self { makes: Makes::Pair(files, argument), ..self }
    }

    /// It returns an object's number.
    pub const fn finds(self, object: Object) -> Self {
        Self { makes: Makes::Object(object), ..self }
    }

    /// It returns twice.
    pub const fn forks(self) -> Self {
        Self { makes: Makes::Process, ..self }
    }

    /// It may be the caller's last.
    pub const fn last(self) -> Self {
        Self { last: true, ..self }
    }

    /// It can reach others.
    pub const fn reaches(self) -> Self {
        Self { reaches: true, ..self }
    }
}
