//! The first process.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;

use fs::{Credentials as FsCredentials, LookupFlags, OpenFlags, View};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    Caller, Process, Thread,
    arguments::{Arguments, Strings},
    credentials::Credentials,
    exec,
    limits::Limits,
    record::Image,
    siblings::Links,
    signal::{Actions, SavedMask, ThreadSignals, frame::AlternateStack},
    tree::{self, Node},
};
use crate::{
    command_line::CommandLine,
    file::{FileTable, FsContext, device},
    memory::{self, AddressSpace, Ramdisk},
    root,
};

/// Where the first program is looked for when the command line does not name it.
const CANDIDATES: [&str; 5] = ["/init", "/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// Why there is no first process.
#[derive(Debug)]
pub enum StartError {
    /// The root could not be built.
    Root(root::Error),
    /// A program was found or named, but does not run.
    Program(String, Errno),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Root(error) => error.fmt(f),
            StartError::Program(path, errno) => write!(f, "{path}: {errno}"),
        }
    }
}

/// Builds the root and starts the first process in it.
pub async fn start(options: CommandLine, ramdisk: Ramdisk) -> Result<(), StartError> {
    root::build(ramdisk, options.root.as_deref(), options.writes_root).await.map_err(StartError::Root)?;
    let named = options.init.clone();
    let candidates: Vec<&str> = match &named {
        Some(path) => alloc::vec![path.as_str()],
        None => CANDIDATES.to_vec(),
    };
    let mut failure = StartError::Program(String::from(CANDIDATES[0]), Errno::ENOENT);
    for path in candidates {
        match start_program(path, &options).await {
            Ok(()) => return Ok(()),
            Err(Errno::ENOENT) if named.is_none() => {}
            Err(errno) => failure = StartError::Program(path.into(), errno),
        }
    }
    Err(failure)
}

async fn start_program(path: &str, options: &CommandLine) -> Result<(), Errno> {
    let caller = first_caller().await?;
    let place = {
        let top = root::namespace().root();
        let credentials = FsCredentials::root();
        let view = View { root: &top, start: &top, credentials: &credentials, umask: 0 };
        view.lookup(path.as_bytes(), LookupFlags::FOLLOW).await?
    };
    let (mut argv, mut envp) = (Strings::default(), Strings::default());
    argv.push(path.as_bytes())?;
    options.arguments.iter().try_for_each(|argument| argv.push(argument.as_bytes()))?;
    envp.push(b"HOME=/")?;
    envp.push(b"TERM=linux")?;
    options.environment.iter().try_for_each(|word| envp.push(word.as_bytes()))?;
    let stack = caller.process().limits.soft(linux::RLIMIT_STACK);
    let arguments = Arguments::new(argv, envp, path.len(), stack)?;
    exec::start_init(caller, place, path.as_bytes(), arguments).await
}

/// Process 1 as it is before it has a program: root, at the root directory, with the console as its standard files.
async fn first_caller() -> Result<Caller, Errno> {
    let space = AddressSpace::new()?;
    let files = FileTable::new();
    let fs = FsContext::new(root::namespace().root());
    let credentials = Arc::new(Credentials::root());
    let max_processes = (memory::stats().total_bytes / (64 << 10)) as u64;
    let actions = Arc::new(Actions::default());
    let process = Arc::new(Process::new(
        tree::INIT,
        credentials.clone(),
        Limits::initial(max_processes),
        actions,
        Image::default(),
    ));
    *process.space.lock() = Some(space.clone());
    *process.files.lock() = Some(files.clone());
    *process.fs.lock() = Some(fs.clone());
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"init");
    let signals = ThreadSignals::default();
    let thread = Thread::new(tree::INIT, 0, process.clone(), &credentials, &space, signals, name);
    let thread = Arc::new(thread);
    {
        let mut tree = tree::lock();
        // A second attempt, with another program, takes the place of the first.
        tree.remove(tree::INIT);
        tree.reserve_first()?;
        tree.insert(Node {
            process,
            parent: 0,
            links: Links::default(),
            may_have_reaper: false,
            group: tree::INIT,
            session: tree::INIT,
            threads: alloc::vec![thread.clone()],
            zombie: None,
            job_event: None,
            exit_signal: super::signal::numbers::SIGCHLD,
            has_execed: true,
            tracer: 0,
            tracees: alloc::vec::Vec::new(),
        });
    }
    let caller = Caller {
        thread,
        space,
        files,
        fs,
        credentials,
        alternate_stack: AlternateStack::DISABLED,
        saved_mask: SavedMask::default(),
        restart: None,
    };
    open_console(&caller).await;
    Ok(caller)
}

/// Opens `/dev/console` as descriptors 0, 1 and 2; without a console the program starts without them, as on Linux.
async fn open_console(caller: &Caller) {
    let places = caller.fs.places();
    let view =
        View { root: &places.root, start: &places.root, credentials: &caller.credentials.fs, umask: 0 };
    let flags = OpenFlags::READ_WRITE;
    let opened = view.open(b"/dev/console", flags, 0, LookupFlags::empty()).await;
    let file = match opened {
        Ok(opened) => device::open(caller, opened.path, linux::O_RDWR).await,
        Err(errno) => Err(errno),
    };
    match file {
        Ok(file) => {
            for _ in 0..3 {
                let _ = caller.files.insert(file.clone(), 0, 3, false);
            }
        }
        Err(errno) => log::warn!("no console for the first process: {errno}"),
    }
}
