//! The vDSO's code: it runs in user space, in every program, and answers questions about the time without a system
//! call (vdso(7)).
//!
//! `build.rs` compiles this file on its own and links it by `vdso.lds`. Nobody relocates the result, so it may hold no
//! absolute address and call nothing outside itself: no panics, no slices, no formatting. What it cannot answer it
//! passes on to the kernel.
#![no_std]

#[path = "../data.rs"]
mod data;

use core::arch::{asm, x86_64::__rdtscp, x86_64::_mm_lfence, x86_64::_rdtsc};
use data::{Data, Snapshot};

/// clock_gettime(2)'s numbers of the clocks that are answered here.
mod clock {
    pub const REALTIME: i32 = 0;
    pub const MONOTONIC: i32 = 1;
    pub const MONOTONIC_RAW: i32 = 4;
    pub const REALTIME_COARSE: i32 = 5;
    pub const MONOTONIC_COARSE: i32 = 6;
    pub const BOOTTIME: i32 = 7;
    pub const TAI: i32 = 11;

    const fn set(clocks: &[i32]) -> u32 {
        let (mut set, mut index) = (0, 0);
        while index < clocks.len() {
            set |= 1 << clocks[index];
            index += 1;
        }
        set
    }

    /// Clocks that show the time since 1970, as a set of bits.
    pub const WALL: u32 = set(&[REALTIME, REALTIME_COARSE, TAI]);
    /// Clocks that show the time since the machine was started.
    pub const SINCE_BOOT: u32 = set(&[MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME]);

    /// The set with one clock; empty for numbers that no set has.
    #[inline(always)]
    pub fn one(clock: i32) -> u32 {
        if (clock as u32) < u32::BITS { 1 << clock } else { 0 }
    }
}

/// System calls (`arch/x86/entry/syscalls/syscall_64.tbl`).
mod number {
    pub const CLOCK_GETTIME: usize = 228;
    pub const CLOCK_GETRES: usize = 229;
    pub const GETCPU: usize = 309;
}

const NS_PER_SECOND: u64 = 1_000_000_000;

/// `struct timespec`.
#[repr(C)]
pub struct TimeSpec {
    seconds: i64,
    nanoseconds: i64,
}

/// `struct timeval`.
#[repr(C)]
pub struct TimeVal {
    seconds: i64,
    microseconds: i64,
}

/// `struct timezone`.
#[repr(C)]
pub struct TimeZone {
    minutes_west: i32,
    daylight_saving: i32,
}

/// The data page, at a fixed distance from the code (vdso.lds).
#[inline(always)]
fn data() -> &'static Data {
    let address: *const Data;
    // SAFETY: computes an address. The kernel maps the data page right before the image, and never unmaps it.
    unsafe {
        asm!("lea {}, [rip + vdso_data]", out(reg) address, options(pure, nomem, nostack, preserves_flags));
        &*address
    }
}

/// Nanoseconds since boot by this snapshot of the page. The same arithmetic as in the kernel, so that both tell one
/// time.
#[inline(always)]
fn since_boot(data: &Snapshot) -> u64 {
    // SAFETY: both instructions exist on every x86-64 processor. The fence keeps the reading from being taken before
    // what the program did before it, so that two threads that talk to each other never see time go back.
    let cycles = unsafe {
        _mm_lfence();
        _rdtsc()
    };
    let elapsed = cycles.saturating_sub(data.base);
    ((u128::from(elapsed) * u128::from(data.multiplier)) >> 32) as u64
}

/// Nanoseconds since 1970.
#[inline(always)]
fn wall() -> u64 {
    let data = data().read();
    data.wall.wrapping_add(since_boot(&data))
}

/// A system call with two arguments; returns a value or a negated error number.
#[inline(always)]
fn system_call(number: usize, first: usize, second: usize) -> i32 {
    let result: isize;
    // SAFETY: the calls made here write only where their arguments point, as the program asked for.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") first, in("rsi") second,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result as i32
}

/// clock_gettime(2).
///
/// # Safety
/// `time` must be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_gettime(id: i32, time: *mut TimeSpec) -> i32 {
    let this = clock::one(id);
    if this & (clock::WALL | clock::SINCE_BOOT) == 0 {
        return system_call(number::CLOCK_GETTIME, id as usize, time as usize);
    }
    let data = data().read();
    let origin = if this & clock::WALL != 0 { data.wall } else { 0 };
    let ns = origin.wrapping_add(since_boot(&data));
    let (seconds, nanoseconds) = ((ns / NS_PER_SECOND) as i64, (ns % NS_PER_SECOND) as i64);
    // SAFETY: the caller's promise.
    unsafe { time.write(TimeSpec { seconds, nanoseconds }) };
    0
}

/// clock_getres(2).
///
/// # Safety
/// `resolution` must be null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_getres(id: i32, resolution: *mut TimeSpec) -> i32 {
    if clock::one(id) & (clock::WALL | clock::SINCE_BOOT) == 0 {
        return system_call(number::CLOCK_GETRES, id as usize, resolution as usize);
    }
    if !resolution.is_null() {
        // SAFETY: the caller's promise.
        unsafe { resolution.write(TimeSpec { seconds: 0, nanoseconds: 1 }) };
    }
    0
}

/// gettimeofday(2). There is no time zone: programs keep that themselves.
///
/// # Safety
/// Both must be null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_gettimeofday(time: *mut TimeVal, zone: *mut TimeZone) -> i32 {
    if !time.is_null() {
        let us = wall() / 1000;
        let (seconds, microseconds) = ((us / 1_000_000) as i64, (us % 1_000_000) as i64);
        // SAFETY: the caller's promise.
        unsafe { time.write(TimeVal { seconds, microseconds }) };
    }
    if !zone.is_null() {
        // SAFETY: the caller's promise.
        unsafe { zone.write(TimeZone { minutes_west: 0, daylight_saving: 0 }) };
    }
    0
}

/// time(2).
///
/// # Safety
/// `time` must be null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_time(time: *mut i64) -> i64 {
    let seconds = (wall() / NS_PER_SECOND) as i64;
    if !time.is_null() {
        // SAFETY: the caller's promise.
        unsafe { time.write(seconds) };
    }
    seconds
}

/// getcpu(2). All CPUs are in node 0.
///
/// # Safety
/// `cpu` and `node` must be null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_getcpu(cpu: *mut u32, node: *mut u32, _unused: *mut u8) -> i32 {
    if !data().has_cpu_number() {
        return system_call(number::GETCPU, cpu as usize, node as usize);
    }
    let mut current = 0;
    // SAFETY: the data page says that the processor has RDTSCP; the pointers are the caller's promise.
    unsafe {
        __rdtscp(&raw mut current);
        if !cpu.is_null() {
            cpu.write(current);
        }
        if !node.is_null() {
            node.write(0);
        }
    }
    0
}
