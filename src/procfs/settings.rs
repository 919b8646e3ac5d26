//! `/proc/sys`: what can be set, and limits (sysctl(8), proc_sys(5)).

use alloc::{format, string::String, sync::Arc, vec, vec::Vec};
use core::fmt::Write;

use conquer_once::spin::OnceCell;
use fs::dcache::LookupForm;
use fs::procfs::{Fixed, Node};
use syscalls::Errno;

use super::{
    caches,
    text::{Made, Setting, TextBuffer, file, line},
};
use crate::{
    file::{
        aio,
        events::inotify::limits::{self, Kind},
    },
    ipc::posix,
    memory::{self, Form},
    process::tree,
    random,
    syscall::{
        socket,
        system::{self, DOMAIN, HOST},
    },
};

/// The directory.
pub fn directory() -> Node {
    folder(vec![
        ("fs", folder(file_limits())),
        ("kernel", folder(kernel())),
        (
            "net",
            folder(vec![
                ("core", folder(vec![("somaxconn", file(backlog_max))])),
                ("unix", folder(vec![("max_dgram_qlen", file(datagrams_max))])),
            ]),
        ),
        (
            "vm",
            folder(vec![
                ("drop_caches", Node::Text(Arc::new(caches::DropCaches))),
                ("legacy_va_layout", line("0")),
                ("max_map_count", line("65530")),
                ("mmap_min_addr", file(lowest_address)),
                ("nr_hugepages", line("0")),
                ("overcommit_memory", line("1")),
            ]),
        ),
    ])
}

fn folder(entries: Vec<(&'static str, Node)>) -> Node {
    Node::Directory(Fixed::new(entries, None))
}

fn setting(read: fn() -> String, write: fn(&str) -> Result<(), Errno>) -> Node {
    Node::Text(Arc::new(Setting { read, write }))
}

fn file_limits() -> Vec<(&'static str, Node)> {
    vec![
        ("aio-max-nr", file(aio_max)),
        ("aio-nr", file(aio_count)),
        ("file-max", line("9223372036854775807")),
        (
            "inotify",
            folder(vec![
                ("max_queued_events", setting(|| limit(Kind::Events), |text| set_limit(Kind::Events, text))),
                (
                    "max_user_instances",
                    setting(|| limit(Kind::Instances), |text| set_limit(Kind::Instances, text)),
                ),
                ("max_user_watches", setting(|| limit(Kind::Watches), |text| set_limit(Kind::Watches, text))),
            ]),
        ),
        ("lookup_form", setting(lookup_form, set_lookup_form)),
        ("mqueue", folder(queues())),
        ("nr_open", line("1048576")),
        ("overflowgid", line("65534")),
        ("overflowuid", line("65534")),
        ("pipe-max-size", file(pipe_max_size)),
    ]
}

fn limit(kind: Kind) -> String {
    format!("{}", limits::get(kind))
}

fn set_limit(kind: Kind, text: &str) -> Result<(), Errno> {
    let limit: u32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    limits::set(kind, limit as usize);
    Ok(())
}

fn kernel() -> Vec<(&'static str, Node)> {
    vec![
        ("cap_last_cap", line("40")),
        ("domainname", setting(|| system::name(DOMAIN), |name| system::rename(DOMAIN, name.as_bytes()))),
        ("fork_form", setting(fork_form, set_fork_form)),
        ("hostname", setting(|| system::name(HOST), |name| system::rename(HOST, name.as_bytes()))),
        ("msgmax", line("8192")),
        ("msgmnb", line("16384")),
        ("msgmni", line("32000")),
        ("ngroups_max", line("65536")),
        ("osrelease", line(system::LINUX_RELEASE)),
        ("ostype", line("Linux")),
        ("overflowgid", line("65534")),
        ("overflowuid", line("65534")),
        ("pid_max", file(pid_max)),
        (
            "random",
            folder(vec![
                ("boot_id", file(boot_id)),
                ("entropy_avail", line("256")),
                ("poolsize", line("256")),
                ("uuid", file(uuid)),
            ]),
        ),
        ("randomize_va_space", line("2")),
        ("sem", line("32000\t1024000000\t500\t32000")),
        ("shmall", line("18446744073692774399")),
        ("shmmax", line("18446744073692774399")),
        ("shmmni", line("4096")),
        ("tainted", line("0")),
        ("threads-max", file(threads_max)),
        ("version", line(system::VERSION)),
        ("yama", folder(vec![("ptrace_scope", line("0"))])),
    ]
}

/// Of message queues (mq_overview(7)).
fn queues() -> Vec<(&'static str, Node)> {
    vec![
        ("msg_default", file(|out| Ok(writeln!(out, "{}", posix::LIMITS.messages)?))),
        ("msg_max", file(|out| Ok(writeln!(out, "{}", posix::LIMITS.messages)?))),
        ("msgsize_default", file(|out| Ok(writeln!(out, "{}", posix::LIMITS.size)?))),
        ("msgsize_max", file(|out| Ok(writeln!(out, "{}", posix::LIMITS.size)?))),
        ("queues_max", file(|out| Ok(writeln!(out, "{}", posix::COUNT_MAX)?))),
    ]
}

fn backlog_max(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", socket::BACKLOG_MAX)?)
}

fn datagrams_max(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", net::unix::DATAGRAMS_MAX)?)
}

fn lowest_address(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", memory::space::LOWEST)?)
}

fn aio_max(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", aio::TOTAL_MAX)?)
}

fn aio_count(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", aio::total())?)
}

fn pipe_max_size(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", fs::pipe::CAPACITY_MAX)?)
}

fn pid_max(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", tree::PID_MAX)?)
}

/// As many as the first process's RLIMIT_NPROC allows.
fn threads_max(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", memory::stats().total_bytes / (64 << 10))?)
}

fn fork_form() -> String {
    memory::fork_form().name().into()
}

fn set_fork_form(name: &str) -> Result<(), Errno> {
    memory::set_fork_form(Form::from_name(name).ok_or(Errno::EINVAL)?);
    Ok(())
}

fn lookup_form() -> String {
    LookupForm::current().name().into()
}

fn set_lookup_form(name: &str) -> Result<(), Errno> {
    LookupForm::from_name(name).ok_or(Errno::EINVAL)?.set();
    Ok(())
}

/// A random number in the form of RFC 9562, version 4.
fn new_uuid() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        number >> 96,
        number >> 80 & 0xffff,
        number >> 64 & 0xffff,
        number >> 48 & 0xffff,
        number & 0xffff_ffff_ffff
    )
}

fn uuid(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", new_uuid())?)
}

fn boot_id(out: &mut TextBuffer) -> Made {
    static BOOT: OnceCell<String> = OnceCell::uninit();
    Ok(writeln!(out, "{}", BOOT.get_or_init(new_uuid))?)
}
