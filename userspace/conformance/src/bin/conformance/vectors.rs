//! Vector registers: AVX state over everything that may come between two instructions, and its place in a signal frame.
//!
//! Needs a processor with AVX. The registers are set, and looked at, within one block of assembly, so that nothing but the
//! kernel comes between.

use crate::check::{KERNEL, USER_END, describe, in_child, outcome, show, sys, value};
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};
use support::memory::{Anonymous, PAGE};
use support::process::fork;

/// The sixteen YMM registers.
type Registers = [[u8; 32]; 16];

/// Something different in each byte of each register, and for each seed.
fn pattern(seed: u8) -> Registers {
    let byte = |register: usize, at: usize| (register * 37 + at * 11) as u8 ^ seed;
    std::array::from_fn(|register| std::array::from_fn(|at| byte(register, at)))
}

/// The system call with the registers set to `before`; what they are afterwards, and the call's result.
fn over_call(before: &Registers, number: i64, arguments: [usize; 4]) -> (Registers, i64) {
    let mut after = [[0; 32]; 16];
    let result;
    // SAFETY: loads and stores within the arrays; the callers pass calls that touch only memory they may. The upper halves
    // are cleared at the end, as compiled code expects.
    unsafe {
        asm!(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups ymm\\n, [{before} + 32 * \\n]\n.endr",
            "syscall",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups [{after} + 32 * \\n], ymm\\n\n.endr",
            "vzeroupper",
            before = in(reg) before, after = in(reg) &raw mut after, inout("rax") number => result,
            in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2], in("r10") arguments[3],
            out("rcx") _, out("r11") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _);
    }
    (after, result)
}

/// As [`over_call`], for time in user mode.
fn over_loop(before: &Registers, rounds: u64) -> Registers {
    let mut after = [[0; 32]; 16];
    // SAFETY: as above.
    unsafe {
        asm!(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups ymm\\n, [{before} + 32 * \\n]\n.endr",
            "2: dec {rounds}", "jnz 2b",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups [{after} + 32 * \\n], ymm\\n\n.endr",
            "vzeroupper",
            before = in(reg) before, after = in(reg) &raw mut after, rounds = inout(reg) rounds => _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _);
    }
    after
}

/// As [`over_call`], for a store to each page of some memory.
fn over_stores(before: &Registers, memory: &mut [u8]) -> Registers {
    let mut after = [[0; 32]; 16];
    // SAFETY: as above; the stores are within the memory, of which there is some.
    unsafe {
        asm!(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups ymm\\n, [{before} + 32 * \\n]\n.endr",
            "2: inc byte ptr [{at}]", "add {at}, 4096", "cmp {at}, {end}", "jb 2b",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups [{after} + 32 * \\n], ymm\\n\n.endr",
            "vzeroupper",
            before = in(reg) before, after = in(reg) &raw mut after,
            at = inout(reg) memory.as_mut_ptr() => _, end = in(reg) memory.as_mut_ptr_range().end,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _);
    }
    after
}

pub fn run() {
    what_the_processor_says();
    if !std::is_x86_feature_detected!("avx") {
        return show("AVX", "none");
    }
    system_calls();
    faults();
    forks();
    threads();
    handlers();
    frames();
    edited_frames();
    hostile_frames();
    over_exec();
}

fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the callers have seen OSXSAVE.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high) };
    u64::from(high) << 32 | u64::from(low)
}

fn what_the_processor_says() {
    let leaf = __cpuid(1);
    let [has_xsave, is_on] = [26, 27].map(|bit| leaf.ecx >> bit & 1 != 0);
    show("XSAVE is switched on", has_xsave == is_on);
    if is_on {
        show("x87, SSE and AVX", format!("{:#x}", xcr0() & 7));
    }
}

fn system_calls() {
    let kept = |what: &str, number, arguments| {
        let before = pattern(7);
        let (after, result) = over_call(&before, number, arguments);
        show(&format!("kept over {what}"), format!("{} ({})", after == before, result.min(0)));
    };
    kept("getpid", libc::SYS_getpid, [0; 4]);
    kept("getpgid", libc::SYS_getpgid, [0; 4]);
    kept("an unknown call", 9999, [0; 4]);
    kept("sched_yield", libc::SYS_sched_yield, [0; 4]);
    let time = [0_i64, 2_000_000];
    kept("nanosleep", libc::SYS_nanosleep, [time.as_ptr() as usize, 0, 0, 0]);
    // Large copies in both directions, and a page that is missing in the midst of one.
    let file = sys!(SYS_memfd_create, c"bytes".as_ptr(), 0).expect("memfd_create") as usize;
    let mut from = Anonymous::map(16 * PAGE).expect("mmap");
    from.bytes().iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 13 / 8) as u8);
    let mut to = Anonymous::map(16 * PAGE).expect("mmap");
    let (source, sink) = (from.start() as usize, to.start() as usize);
    kept("a large write", libc::SYS_pwrite64, [file, source, 16 * PAGE, 0]);
    kept("a large read", libc::SYS_pread64, [file, sink, 16 * PAGE, 0]);
    show("which read what was written", from.bytes() == to.bytes());
    for (offset, len) in [(0, 1024), (1, 1025), (5, 2047), (31, 2049), (77, 4096), (3, 8191)] {
        to.bytes().fill(0xaa);
        kept(&format!("{len} bytes at {offset}"), libc::SYS_pread64, [file, sink + offset, len, 0]);
        let bytes = to.bytes();
        let is_right = bytes[offset..offset + len] == from.bytes()[..len];
        let is_alone = bytes[..offset].iter().chain(&bytes[offset + len..]).all(|byte| *byte == 0xaa);
        show("those bytes, and no other", is_right && is_alone);
    }
    let hole = Anonymous::map(4 * PAGE).expect("mmap");
    let half = hole.start() as usize + 2 * PAGE;
    let _ = sys!(SYS_munmap, half, 2 * PAGE);
    let over_end = [file, half - 3000, 2 * PAGE, 0];
    let before = pattern(9);
    let (after, result) = over_call(&before, libc::SYS_pread64, over_end);
    show("kept over a read into a hole", format!("{} ({result})", after == before));
    std::mem::forget(hole);
    let _ = sys!(SYS_close, file);
}

/// The kernel zeroes pages, and copies some.
fn faults() {
    let before = pattern(14);
    let mut memory = Anonymous::map(64 * PAGE).expect("mmap");
    show("kept over pages that were missing", over_stores(&before, memory.bytes()) == before);
    in_child("pages that were shared", || {
        show("kept", over_stores(&before, memory.bytes()) == before);
        let is_right = |page: &[u8]| page[0] == 2 && page[1..].iter().all(|byte| *byte == 0);
        show("and right", memory.bytes().chunks(PAGE).all(is_right));
        0
    });
    show("the parent's are as they were", memory.bytes().chunks(PAGE).all(|page| page[0] == 1));
}

fn forks() {
    let before = pattern(21);
    let (after, child) = over_call(&before, libc::SYS_fork, [0; 4]);
    if child == 0 {
        // SAFETY: ends this process, which has only this thread.
        unsafe { libc::_exit(if after == before { 0 } else { 1 }) };
    }
    show("kept over fork", after == before);
    let mut status = -1;
    outcome("wait", sys!(SYS_wait4, child, &raw mut status, 0, 0));
    show("and in the child", status == 0);
}

/// More threads than processors, each with registers of its own.
fn threads() {
    const THREADS: u8 = 12;
    let is_kept = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let is_kept = &is_kept;
            scope.spawn(move || {
                let before = pattern(seed * 19);
                for round in 0..20 {
                    let mut after = over_loop(&before, 300_000);
                    is_kept.fetch_and(after == before, SeqCst);
                    let time = [0_i64, 100_000];
                    (after, _) = match round % 2 {
                        0 => over_call(&before, libc::SYS_sched_yield, [0; 4]),
                        _ => over_call(&before, libc::SYS_nanosleep, [time.as_ptr() as usize, 0, 0, 0]),
                    };
                    is_kept.fetch_and(after == before, SeqCst);
                }
            });
        }
    });
    show("kept by all threads", is_kept.load(SeqCst));
}

/// What the handler below does.
static EDIT: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicI32 = AtomicI32::new(0);
static WAS_NEW: AtomicBool = AtomicBool::new(false);

/// Where the parts of a frame's floating-point state are.
const MXCSR: usize = 24;
const XMM: usize = 160;
const SOFTWARE: usize = 464;
const HEADER: usize = 512;
const UPPER: usize = 576;
/// `FP_XSTATE_MAGIC2`.
const MAGIC_2: u32 = 0x4650_5845;

/// A handler that looks at the registers that it begins with, has them all changed, and has the frame edited.
extern "C" fn clobber(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    COUNT.fetch_add(1, SeqCst);
    let mut upper = [[0_u8; 32]; 8];
    // SAFETY: stores into the array; all registers are declared.
    unsafe {
        asm!(".irp n, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups [{upper} + 32 * (\\n - 8)], ymm\\n\n.endr",
            "vpcmpeqd xmm0, xmm0, xmm0", "vinsertf128 ymm0, ymm0, xmm0, 1",
            ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvmovaps ymm\\n, ymm0\n.endr",
            upper = in(reg) &raw mut upper,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _);
    }
    WAS_NEW.store(upper.iter().all(|register| register[16..] == [0; 16]), SeqCst);
    // SAFETY: the kernel passes a valid context.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let state = context.uc_mcontext.fpregs.cast();
    EDITS[EDIT.load(SeqCst)].1(&mut Frame { context, state });
}

/// What a handler finds.
struct Frame<'a> {
    context: &'a mut libc::ucontext_t,
    /// The floating-point state.
    state: *mut u8,
}

impl Frame<'_> {
    fn write<T>(&mut self, at: usize, value: T) {
        // SAFETY: the tests write where a frame's state is.
        unsafe { self.state.add(at).cast::<T>().write_unaligned(value) };
    }

    fn read<T: Copy>(&self, at: usize) -> T {
        // SAFETY: the tests read where a frame's state is.
        unsafe { self.state.add(at).cast::<T>().read_unaligned() }
    }

    /// Says that the state is somewhere else.
    fn point_to(&mut self, address: usize) {
        self.context.uc_mcontext.fpregs = std::ptr::without_provenance_mut(address);
    }
}

type Edit = fn(&mut Frame);

/// What is done to a frame, by the names that are printed.
const EDITS: &[(&str, Edit)] = &[
    ("nothing", |_| {}),
    ("layout", |frame| layout(frame)),
    ("XMM3 and the upper half of YMM5", |frame| {
        frame.write(XMM + 3 * 16, [0x33_u8; 16]);
        frame.write(UPPER + 5 * 16, [0x55_u8; 16]);
    }),
    ("AVX not in use", |frame| frame.write(HEADER, 3_u64)),
    ("nothing in use", |frame| frame.write(HEADER, 0_u64)),
    ("holds no AVX", |frame| frame.write(SOFTWARE + 8, 3_u64)),
    ("holds AVX alone", |frame| frame.write(SOFTWARE + 8, 4_u64)),
    ("holds nothing", |frame| frame.write(SOFTWARE + 8, 0_u64)),
    ("holds all there may be", |frame| frame.write(SOFTWARE + 8, u64::MAX)),
    ("first magic number wrong", |frame| frame.write(SOFTWARE, 1_u32)),
    ("second magic number wrong", |frame| frame.write(frame.read::<u32>(SOFTWARE + 16) as usize, 1_u32)),
    ("size of nothing", |frame| frame.write(SOFTWARE + 16, 0_u32)),
    ("size below the header's end", |frame| frame.write(SOFTWARE + 16, 575_u32)),
    ("size too large", |frame| frame.write(SOFTWARE + 16, 1_u32 << 20)),
    ("size near 2^32", |frame| frame.write(SOFTWARE + 16, u32::MAX)),
    ("extended size too small", |frame| frame.write(SOFTWARE + 4, 600_u32)),
    ("extended size near 2^32", |frame| frame.write(SOFTWARE + 4, u32::MAX)),
    ("no state", |frame| frame.point_to(0)),
    // From here on the kernel refuses.
    ("unknown components in use", |frame| frame.write(HEADER, u64::MAX >> 1)),
    ("compacted", |frame| frame.write(HEADER + 8, 1_u64 << 63 | 7)),
    ("strange compaction", |frame| frame.write(HEADER + 8, 7_u64)),
    ("reserved bits of MXCSR", |frame| frame.write(MXCSR, u32::MAX)),
    ("state not aligned", |frame| frame.point_to(frame.state as usize + 16)),
    ("state not mapped", |frame| frame.point_to(64)),
    ("state in the kernel", |frame| frame.point_to(KERNEL & !63)),
    ("state at user space's end", |frame| frame.point_to(USER_END - 512)),
    ("state nowhere", |frame| frame.point_to(0xffff_ffff_ffff_ffc0)),
    ("state whose end is in a hole", |frame| {
        let mut hole = Anonymous::map(2 * PAGE).expect("mmap");
        let part = UPPER + 64;
        frame.write(SOFTWARE + 16, UPPER as u32);
        frame.write(UPPER, MAGIC_2);
        // SAFETY: the frame's state is that long at least.
        let state = unsafe { std::slice::from_raw_parts(frame.state, part) };
        hole.bytes()[PAGE - part..PAGE].copy_from_slice(state);
        let middle = hole.start() as usize + PAGE;
        let _ = sys!(SYS_munmap, middle, PAGE);
        frame.point_to(middle - part);
        std::mem::forget(hole);
    }),
];
/// Where those begin that the kernel has to make sense of, and those that it refuses.
const SANE: usize = 2;
const REFUSED: usize = 18;

fn set_edit(name: &str) {
    let index = EDITS.iter().position(|(edit, _)| *edit == name).expect("a known edit");
    EDIT.store(index, SeqCst);
}

fn handle(flags: i32) {
    // SAFETY: an all-zero sigaction is valid; the handler touches atomics and its frame.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = clobber as *const () as usize;
        action.sa_flags = flags | libc::SA_SIGINFO;
        libc::sigaction(libc::SIGUSR1, &raw const action, null_mut());
    }
}

/// The registers after a signal that is handled.
fn over_signal(before: &Registers) -> Registers {
    let [pid, tid] = [sys!(SYS_getpid), sys!(SYS_gettid)].map(|id| id.unwrap_or(0) as usize);
    over_call(before, libc::SYS_tgkill, [pid, tid, libc::SIGUSR1 as usize, 0]).0
}

fn handlers() {
    handle(0);
    set_edit("nothing");
    let before = pattern(33);
    show("kept over a handler that clobbers them", over_signal(&before) == before);
    show("upper halves in a handler are zero at first", WAS_NEW.load(SeqCst));
    // At any instruction.
    let interval = [0_i64, 700, 0, 700];
    let stop = [0_i64; 4];
    // SAFETY: as in `handle`.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = clobber as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
        libc::sigaction(libc::SIGALRM, &raw const action, null_mut());
    }
    COUNT.store(0, SeqCst);
    let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, interval.as_ptr(), 0);
    let mut is_kept = true;
    while COUNT.load(SeqCst) < 50 {
        is_kept &= over_loop(&before, 20_000) == before;
    }
    let _ = sys!(SYS_setitimer, libc::ITIMER_REAL, stop.as_ptr(), 0);
    show("kept over fifty interruptions", is_kept);
}

static LAYOUT: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

/// Notes what a frame looks like.
fn layout(frame: &Frame) {
    let size = frame.read::<u32>(SOFTWARE + 16);
    let state = frame.state as usize;
    let taken = state + size as usize + 4 - (&raw const *frame.context as usize - 8);
    // SAFETY: reads the vector that libc kept.
    let room = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    *LAYOUT.lock().expect("no handler panics") = vec![
        format!("flags: {:#x}", frame.context.uc_flags),
        format!("aligned: {}", state.is_multiple_of(64)),
        format!("first magic number: {:#x}", frame.read::<u32>(SOFTWARE)),
        format!("size is CPUID's: {}", size == __cpuid_count(0xd, 0).ebx),
        format!("extended size: {} more", frame.read::<u32>(SOFTWARE + 4) - size),
        format!("holds what XCR0 has: {}", frame.read::<u64>(SOFTWARE + 8) == xcr0()),
        format!("padding: {:?}", frame.read::<[u32; 7]>(SOFTWARE + 20)),
        format!("second magic number: {}", frame.read::<u32>(size as usize) == MAGIC_2),
        format!("in use: {:#x}", frame.read::<u64>(HEADER) & 7),
        format!("the header's rest: {:?}", frame.read::<[u64; 7]>(HEADER + 8)),
        format!("MXCSR: {:#x}", frame.read::<u32>(MXCSR)),
        format!("XMM9: {:?}", frame.read::<[u8; 16]>(XMM + 9 * 16)),
        format!("upper half of YMM9: {:?}", frame.read::<[u8; 16]>(UPPER + 9 * 16)),
        format!("AT_MINSIGSTKSZ suffices: {}", room >= taken && room < taken + 512),
    ];
}

fn frames() {
    set_edit("layout");
    over_signal(&pattern(44));
    LAYOUT.lock().expect("no handler panics").iter().for_each(|line| println!("frame: {line}"));
}

/// Which halves of the registers are as they were.
fn changes(before: &Registers, after: &Registers) -> String {
    let half = |range: std::ops::Range<usize>| {
        let word = |register: usize| {
            let (before, after) = (&before[register][range.clone()], &after[register][range.clone()]);
            match () {
                () if before == after => '=',
                () if after.iter().all(|byte| *byte == 0) => '0',
                () => '!',
            }
        };
        (0..16).map(word).collect::<String>()
    };
    format!("{} {}", half(0..16), half(16..32))
}

fn edited_frames() {
    let before = pattern(55);
    for (name, _) in &EDITS[SANE..REFUSED] {
        set_edit(name);
        let ended = fork(|| {
            let after = over_signal(&before);
            let mut mxcsr = 0_u32;
            // SAFETY: a store.
            unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr) };
            show(name, format!("{} {mxcsr:#x}", changes(&before, &after)));
            0
        });
        value("ended", ended.and_then(support::process::Child::wait).map(describe));
    }
}

fn hostile_frames() {
    let before = pattern(66);
    for (name, _) in &EDITS[REFUSED..] {
        set_edit(name);
        in_child(name, || {
            over_signal(&before);
            0
        });
    }
    // The kernel is well, and so are we.
    set_edit("nothing");
    show("kept as before", over_signal(&before) == before);
}

/// `execve` gives a program new registers; the other half is in [`child`].
fn over_exec() {
    in_child("exec", || {
        let words = [c"conformance", c"child", c"vectors"];
        let arguments = [words[0].as_ptr(), words[1].as_ptr(), words[2].as_ptr(), std::ptr::null()];
        let none = [std::ptr::null::<u8>()];
        let call =
            [c"/proc/self/exe".as_ptr() as usize, arguments.as_ptr() as usize, none.as_ptr() as usize, 0];
        // SAFETY: exceptions stay masked: flush to zero, round down.
        unsafe {
            let mxcsr = 0xbf80_u32;
            asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr);
        }
        over_call(&pattern(88), libc::SYS_execve, call);
        1
    });
}

/// After exec: what a program begins with, as far as the C library's start has left it alone.
pub fn child() {
    let mut registers = [[0_u8; 32]; 8];
    let mut mxcsr = 0_u32;
    // SAFETY: stores into the array and the word.
    unsafe {
        asm!(".irp n, 8, 9, 10, 11, 12, 13, 14, 15\nvmovups [{registers} + 32 * (\\n - 8)], ymm\\n\n.endr",
            "stmxcsr [{mxcsr}]", registers = in(reg) &raw mut registers, mxcsr = in(reg) &raw mut mxcsr);
    }
    show("upper halves after exec are zero", registers.iter().all(|register| register[16..] == [0; 16]));
    show("MXCSR", format!("{mxcsr:#x}"));
}
