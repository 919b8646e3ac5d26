//! execve: a new program in an old process.
//!
//! Everything that can fail happens in a fresh address space beside the old one; only when the program is loaded and
//! its stack is built does the process change over, and from there on nothing fails.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};
use core::sync::atomic::Ordering;

use fs::{LookupFlags, MountFlags, Path};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    Caller,
    arguments::{Arguments, Strings},
    credentials::{Credentials, Privileges},
    elf::{Executable, Segment},
    exit,
    file_capabilities::{FileCapabilities, Granted},
    futex,
    initial_stack::{self, Auxiliary, InitialStack},
    placement::Placement,
    record::Image,
    signal::frame::AlternateStack,
    timers, trace, tree,
};
use crate::{
    arch::{layout::USER_END, user::UserContext},
    device::loops,
    file::{
        lookup,
        mapping::{self, Program},
    },
    memory::{self, AddressSpace, Backing, FaultError, Mapping, PAGE_SIZE},
    vdso,
};

/// Most interpreters (`#!`) in a row.
const MAX_INTERPRETERS: usize = 5;
/// Bytes that are read of a file to find out what it is: enough for the program headers of most.
const PROBE: usize = 1024;
/// Bytes of a script that are looked at for its interpreter (Linux's `BINPRM_BUF_SIZE`).
const SCRIPT_START: usize = 256;

/// A program that is ready to run in a fresh address space.
struct Loaded {
    space: Arc<AddressSpace>,
    entry: usize,
    stack_pointer: usize,
    image: Image,
    /// The capabilities that its file brings.
    granted: Option<Granted>,
    name: [u8; 16],
}

/// Replaces the caller's program by the file at `path`; `context` becomes the registers that it begins with.
pub async fn execve(
    caller: &mut Caller,
    context: &mut UserContext,
    path: Path,
    display: &[u8],
    arguments: Arguments,
) -> Result<(), Errno> {
    memory::claim().await?;
    // Scripts are open as long as what interprets them is loaded, as on Linux.
    let (opened, _scripts, arguments) = resolve_scripts(caller, path, display, arguments).await?;
    let loaded = load(caller, &opened, display, &arguments).await?;
    exit::others(caller).await?;
    take_own_files(caller).await?;
    let former = caller.thread.tid();
    change_over(caller, context, opened.program.path(), loaded).await;
    if caller.thread.is_traced() {
        Box::pin(trace::points::executed(caller, context, former)).await;
    }
    Ok(())
}

/// Follows `#!` lines to the program that runs in the end: that, the scripts on the way, and the arguments it gets.
async fn resolve_scripts(
    caller: &Caller,
    mut path: Path,
    display: &[u8],
    mut arguments: Arguments,
) -> Result<(Opened, Vec<Arc<Program>>, Arguments), Errno> {
    let mut script = None;
    let mut scripts = Vec::new();
    for _ in 0..=MAX_INTERPRETERS {
        let opened = open(caller, path).await?;
        if !opened.start.starts_with(b"#!") {
            return Ok((opened, scripts, arguments));
        }
        let mut start = [0; SCRIPT_START];
        let known = opened.start.len().min(SCRIPT_START);
        start[..known].copy_from_slice(&opened.start[..known]);
        let (interpreter, option) = parse_script(&start)?;
        let mut argv = Strings::default();
        argv.push(interpreter)?;
        option.map_or(Ok(()), |option| argv.push(option))?;
        argv.push(script.as_deref().unwrap_or(display))?;
        argv.append_rest(core::mem::take(&mut arguments.argv))?;
        arguments = arguments.with_argv(argv)?;
        if interpreter.is_empty() {
            // On Linux, too, the working directory, which is not executable.
            return Err(Errno::EACCES);
        }
        path = lookup::path(caller, lookup::CWD, interpreter, LookupFlags::FOLLOW).await?;
        script = Some(interpreter.to_vec());
        scripts.push(opened.program);
    }
    Err(Errno::ELOOP)
}

/// The interpreter that a script names after its `#!`, and the one optional argument (execve(2), "Interpreter scripts").
/// `start` is how the file begins; zeros follow its end.
fn parse_script(start: &[u8; SCRIPT_START]) -> Result<(&[u8], Option<&[u8]>), Errno> {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let ends_name = |byte: &u8| blank(byte) || *byte == 0;
    let newline = start.iter().position(|byte| *byte == b'\n');
    let line = &start[2..newline.unwrap_or(SCRIPT_START - 1)];
    let (name, rest) = split(split(line, |byte| !blank(byte)).1, ends_name);
    let is_cut = rest.is_empty() && newline.is_none() && !ends_name(&start[SCRIPT_START - 1]);
    if is_cut || line.iter().all(blank) {
        return Err(Errno::ENOEXEC);
    }
    let option = split(rest, |byte| !blank(byte)).1;
    if option.is_empty() || rest[0] == 0 {
        return Ok((name, None));
    }
    let end = option.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
    Ok((name, Some(split(&option[..end], |byte| *byte == 0).0)))
}

/// What comes before the first byte that is an `end`, and the rest from there on.
fn split(bytes: &[u8], end: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(end).unwrap_or(bytes.len()))
}

/// EACCES unless the file is a regular one that the caller may execute.
fn check_executable(caller: &Caller, path: &Path) -> Result<(), Errno> {
    if path.dentry().kind() != fs::FileType::Regular {
        return Err(Errno::EACCES);
    }
    fs::check_at(path, &caller.credentials.fs, fs::Access::EXECUTE)
}

/// A program or script, and how its file begins.
struct Opened {
    program: Arc<Program>,
    start: Vec<u8>,
}

/// Opens a program. ETXTBSY if the file is open for writing; else as [`check_executable`].
async fn open(caller: &Caller, path: Path) -> Result<Opened, Errno> {
    check_executable(caller, &path)?;
    let program = Program::new(path)?;
    let mut start = vec![0; PROBE];
    let read = program.read_at(0, &mut start).await?;
    start.truncate(read);
    Ok(Opened { program, start })
}

/// Bits of personality(2).
mod personality {
    /// Place everything always in the same way (`ADDR_NO_RANDOMIZE`).
    pub const NO_RANDOM: u32 = 0x0004_0000;
    /// What does not outlive gaining rights (`PER_CLEAR_ON_SETID`).
    pub const UNSAFE: u32 = NO_RANDOM | 0x0010_0000 | 0x0020_0000 | 0x0040_0000;
}

/// Loads the program, and its interpreter if it names one, into a fresh address space and builds the stack there.
async fn load(
    caller: &Caller,
    opened: &Opened,
    display: &[u8],
    arguments: &Arguments,
) -> Result<Loaded, Errno> {
    let program = &opened.program;
    let path = program.path();
    let executable = parse(opened).await?;
    let capabilities = FileCapabilities::of(path).await?;
    let granted = capabilities.map(|file| file.granted_to(&caller.credentials)).transpose()?;
    let (credentials, is_secure) = credentials_after(caller, path, granted);
    let space = AddressSpace::new()?;
    let placement = {
        let limits = &caller.process().limits;
        limits.apply_to(&space);
        let personality = caller.process().personality.load(Ordering::Relaxed);
        let at_random = is_secure || personality & personality::NO_RANDOM == 0;
        Placement::new(limits.soft(linux::RLIMIT_STACK), at_random)
    };
    initial_stack::map(&space, executable.executable_stack, placement.stack_top).await?;
    space.set_mapping_top(placement.mapping_top).await;
    let bias = executable.bias_at(placement.program);
    map_image(&space, &|offset| program.backing(offset), &executable, bias).await?;
    let mut entry = executable.entry.wrapping_add(bias);
    let mut interpreter_base = 0;
    if let Some((offset, len)) = executable.interpreter {
        let name = read_interpreter_name(program, offset, len).await?;
        let interpreter = load_interpreter(caller, &space, &name).await?;
        (interpreter_base, entry) = (interpreter.base, interpreter.entry);
    }
    let (_, end) = executable.span();
    space.set_heap(end.wrapping_add(bias) + placement.heap_gap).await;
    let vdso = vdso::map(&space, placement.vdso).await?;
    let auxiliary = Auxiliary {
        file_name: display,
        executable: &executable,
        bias,
        interpreter_base,
        vdso,
        seed: placement.seed,
        credentials,
        is_secure,
    };
    let stack = initial_stack::build(&space, placement.stack_top, arguments, &auxiliary).await?;
    let InitialStack { pointer: stack_pointer, arguments, environment, auxiliary } = stack;
    space.preload().await;
    let image = Image { file: Some(path.clone()), arguments, environment, auxiliary };
    Ok(Loaded { space, entry, stack_pointer, image, granted, name: short_name(display) })
}

async fn parse(opened: &Opened) -> Result<Executable, Errno> {
    let start = &opened.start;
    let (offset, len) = Executable::header_range(start)?;
    let known = usize::try_from(offset).ok().and_then(|offset| start.get(offset..)?.get(..len));
    if let Some(headers) = known {
        return Executable::parse(start, headers);
    }
    let mut headers = vec![0; len];
    if opened.program.read_at(offset, &mut headers).await? != len {
        return Err(Errno::ENOEXEC);
    }
    Executable::parse(start, &headers)
}

/// The path in a program that names its interpreter. EIO where the file ends before it, ENOEXEC unless a NUL ends it.
async fn read_interpreter_name(program: &Program, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut name = vec![0; len];
    if program.read_at(offset, &mut name).await? != len {
        return Err(Errno::EIO);
    }
    if name.last() != Some(&0) {
        return Err(Errno::ENOEXEC);
    }
    name.truncate(split(&name, |byte| *byte == 0).0.len());
    Ok(name)
}

/// A program's interpreter, its dynamic linker, in its place.
struct Interpreter {
    base: usize,
    entry: usize,
}

/// Maps the interpreter of this name beside the program, where the space would put a mapping of its size.
///
/// # Errors
/// Those of [`open`]; EIO for a file without room for an ELF header, ELIBBAD for one that is no program.
async fn load_interpreter(
    caller: &Caller,
    space: &Arc<AddressSpace>,
    name: &[u8],
) -> Result<Interpreter, Errno> {
    if name.is_empty() {
        // As in a script.
        return Err(Errno::EACCES);
    }
    let path = lookup::path(caller, lookup::CWD, name, LookupFlags::FOLLOW).await?;
    // Nobody may write it until it is mapped; afterwards it is a mapped file like other libraries.
    let opened = open(caller, path).await?;
    if opened.start.len() < 64 {
        return Err(Errno::EIO);
    }
    let bad = |errno| if errno == Errno::ENOEXEC { Errno::ELIBBAD } else { errno };
    let interpreter = parse(&opened).await.map_err(bad)?;
    let (start, end) = interpreter.span();
    let bias = if interpreter.relocatable {
        let room = end - start + interpreter.alignment - PAGE_SIZE;
        interpreter.bias_at(reserve(space, room).await?.next_multiple_of(interpreter.alignment))
    } else {
        0
    };
    let library = mapping::of_library(opened.program.path().clone(), space).await?;
    map_image(space, &library, &interpreter, bias).await?;
    Ok(Interpreter { base: bias, entry: interpreter.entry.wrapping_add(bias) })
}

/// Maps all segments of what `backing` shows from an offset on.
async fn map_image(
    space: &Arc<AddressSpace>,
    backing: &(dyn Fn(u64) -> Backing + Send + Sync),
    executable: &Executable,
    bias: usize,
) -> Result<(), Errno> {
    let (start, end) = executable.span();
    if end.wrapping_add(bias) > USER_END || start.wrapping_add(bias) > end.wrapping_add(bias) {
        return Err(Errno::ENOMEM);
    }
    for segment in &executable.segments {
        map_segment(space, backing, segment, bias)
            .await
            .map_err(|errno| if errno == Errno::ENOMEM { errno } else { Errno::ENOEXEC })?;
    }
    Ok(())
}

/// Finds room for an image of `len` bytes where the space would put a mapping of that size.
async fn reserve(space: &AddressSpace, len: usize) -> Result<usize, Errno> {
    let start = space.map(Mapping::anonymous(len, linux::PROT_NONE)).await?;
    space.unmap(start, len).await?;
    Ok(start)
}

/// Maps one segment: the pages with file contents from the file, the rest of its memory as zeroes.
async fn map_segment(
    space: &Arc<AddressSpace>,
    backing: &(dyn Fn(u64) -> Backing + Send + Sync),
    segment: &Segment,
    bias: usize,
) -> Result<(), Errno> {
    let address = segment.address + bias;
    let start = address & !(PAGE_SIZE - 1);
    let lead = address - start;
    let file_end = address + segment.file_size;
    let memory_end = (address + segment.memory_size).next_multiple_of(PAGE_SIZE);
    let mapped_end = if segment.file_size > 0 { file_end.next_multiple_of(PAGE_SIZE) } else { start };
    let fixed = linux::MAP_PRIVATE | linux::MAP_FIXED_NOREPLACE;
    if mapped_end > start {
        let backing = backing(segment.offset - lead as u64);
        let whole = Mapping::anonymous(mapped_end - start, segment.protection);
        space.map(Mapping { hint: start, flags: fixed, backing, ..whole }).await?;
    }
    if memory_end > mapped_end {
        let zeroes = Mapping::anonymous(memory_end - mapped_end, segment.protection);
        space.map(Mapping { hint: mapped_end, flags: fixed | linux::MAP_ANONYMOUS, ..zeroes }).await?;
    }
    // The rest of the last file page belongs to the segment's zeroes (.bss), not to what follows in the file.
    if segment.memory_size > segment.file_size
        && mapped_end > file_end
        && segment.protection & linux::PROT_WRITE != 0
    {
        let zeroed = space.write_bytes(file_end, &[0; PAGE_SIZE][..mapped_end - file_end]).await;
        // As on Linux: a file that was cut off shows when the program comes there.
        if zeroed == Err(FaultError::OutOfMemory) {
            return Err(Errno::ENOMEM);
        }
    }
    Ok(())
}

/// Gives the process descriptors of its own if it has shared them with another. Its threads have ended by now, so it ends if
/// there is no memory.
async fn take_own_files(caller: &mut Caller) -> Result<(), Errno> {
    // The record of the process and the caller hold one reference each.
    if Arc::strong_count(&caller.files) > 2 {
        caller.files = caller.files.duplicate().await.inspect_err(|_| exit::out_of_memory(caller))?;
        *caller.process().files.lock() = Some(caller.files.clone());
    }
    Ok(())
}

/// Makes the loaded program the process's own. Nothing here fails.
async fn change_over(caller: &mut Caller, context: &mut UserContext, path: &Path, loaded: Loaded) {
    caller.dismiss_deputy().await;
    futex::exit_robust_list(caller).await;
    let process = caller.process().clone();
    become_leader(caller);
    {
        let mut signals = process.signals.lock();
        if signals.actions.any_handled() {
            signals.actions = Arc::new(signals.actions.after_exec());
        }
    }
    if let Some(node) = tree::lock().node_mut(process.pid) {
        node.has_execed = true;
    }
    *process.image.lock() = loaded.image;
    *caller.thread.name.lock() = loaded.name;
    caller.thread.clear_tid.store(0, Ordering::Relaxed);
    caller.thread.robust_list.store(0, Ordering::Relaxed);
    caller.thread.sequence.clear();
    caller.alternate_stack = AlternateStack::DISABLED;
    timers::posix::delete_all(&process);
    caller.files.close_for_exec().await;
    loops::settled().await;
    apply_privileges(caller, path, loaded.granted);

    *process.space.lock() = Some(loaded.space.clone());
    caller.thread.enter_space(&loaded.space);
    let old = core::mem::replace(&mut caller.space, loaded.space);
    caller.space.activate();
    process.release_borrowed_space();
    process.note_peak(&old);
    drop(old);
    let number = context.orig_rax;
    *context = UserContext::new(loaded.entry as u64, loaded.stack_pointer as u64);
    // Until the call is over.
    context.orig_rax = number;
}

/// A thread other than the first that calls `execve` takes the process's id as its own.
fn become_leader(caller: &Caller) {
    if caller.thread.tid() != caller.process().pid {
        let mut tree = tree::lock();
        tree.make_first(&caller.thread);
        trace::link::take_first_place(&mut tree, &caller.thread);
    }
}

/// Who the caller is once it executes the file, and whether that is somebody with more rights.
fn credentials_after(caller: &Caller, path: &Path, capabilities: Option<Granted>) -> (Credentials, bool) {
    let gains_nothing =
        caller.process().gains_nothing.load(Ordering::Relaxed) || trace::link::gains_nothing(&caller.thread);
    let counts_ids = !path.mount().flags().contains(MountFlags::NO_SUID);
    let file = Privileges { file: path.inode().attributes(), counts_ids, capabilities };
    caller.credentials.after_exec(&file, gains_nothing)
}

/// Set-user-id and set-group-id bits and capabilities of the file: looked at once more, as somebody may trace the caller by now.
/// Who has become another hears of its parent's end no more.
fn apply_privileges(caller: &mut Caller, path: &Path, granted: Option<Granted>) {
    let (credentials, is_secure) = credentials_after(caller, path, granted);
    if is_secure {
        caller.process().death_signal.store(0, Ordering::Relaxed);
        // Nor may whoever starts it make it easier to attack.
        caller.process().personality.fetch_and(!personality::UNSAFE, Ordering::Relaxed);
    }
    caller.process().is_dumpable.store(!is_secure, Ordering::Relaxed);
    caller.set_credentials(credentials);
}

/// The last component of a path, cut to what `comm` holds.
fn short_name(path: &[u8]) -> [u8; 16] {
    let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let mut name = [0; 16];
    let len = base.len().min(15);
    name[..len].copy_from_slice(&base[..len]);
    name
}

/// Starts the first process from `path`, or says why it cannot run.
pub async fn start_init(
    caller: Caller,
    path: Path,
    display: &[u8],
    arguments: Arguments,
) -> Result<(), Errno> {
    let mut caller = Box::new(caller);
    let mut context = Box::new(UserContext::new(0, 0));
    execve(&mut caller, &mut context, path, display, arguments).await?;
    super::run::start(*caller, *context)
}
