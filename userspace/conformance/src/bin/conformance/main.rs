//! `conformance AREA`: what system calls do, printed so that two kernels can be compared line by line.
//!
//! Nothing printed depends on addresses, process numbers, times or the machine: a difference from Linux's output
//! is a difference in behaviour. Each area is a module; [`check`] has the words they share.

mod abi;
mod aio;
mod arguments;
mod barriers;
mod capabilities;
mod check;
mod descriptors;
mod direct;
mod disks;
mod epoll;
mod errors;
mod event_files;
mod exec;
mod file_owners;
mod files;
mod futexes;
mod handles;
mod identity;
mod inotify;
mod interruptions;
mod ipc;
mod job_control;
mod locks;
mod loops;
mod mappings;
mod memory;
mod memory_policies;
mod nameless;
mod names;
mod open_how;
mod pieces;
mod pipe_packets;
mod pipes;
mod pitfalls;
mod polling;
mod process_files;
mod processes;
mod procfs;
mod queues;
mod residency;
mod rest;
mod rings;
mod scheduling;
mod seals;
mod seccomp;
mod signals;
mod sockets;
mod splices;
mod terminals;
mod threads;
mod timers;
mod times;
mod tracing;
mod usage;
mod vectors;
mod waiting;

/// The areas, by name.
const AREAS: &[(&str, fn())] = &[
    ("abi", abi::run),
    ("aio", aio::run),
    ("arguments", arguments::run),
    ("descriptors", descriptors::run),
    ("direct", direct::run),
    ("disks", disks::run),
    ("epoll", epoll::run),
    ("errors", errors::run),
    ("event_files", event_files::run),
    ("exec", exec::run),
    ("file_owners", file_owners::run),
    ("files", files::run),
    ("futexes", futexes::run),
    ("handles", handles::run),
    ("identity", identity::run),
    ("inotify", inotify::run),
    ("interruptions", interruptions::run),
    ("ipc", ipc::run),
    ("job_control", job_control::run),
    ("locks", locks::run),
    ("loops", loops::run),
    ("mappings", mappings::run),
    ("memory", memory::run),
    ("memory_policies", memory_policies::run),
    ("names", names::run),
    ("pieces", pieces::run),
    ("pipe_packets", pipe_packets::run),
    ("pipes", pipes::run),
    ("pitfalls", pitfalls::run),
    ("polling", polling::run),
    ("process_files", process_files::run),
    ("processes", processes::run),
    ("procfs", procfs::run),
    ("residency", residency::run),
    ("rings", rings::run),
    ("seals", seals::run),
    ("seccomp", seccomp::run),
    ("signals", signals::run),
    ("socket_datagrams", sockets::datagrams::run),
    ("socket_errors", sockets::errors::run),
    ("socket_names", sockets::names::run),
    ("socket_packets", sockets::packets::run),
    ("socket_rights", sockets::rights::run),
    ("socket_streams", sockets::streams::run),
    ("splices", splices::run),
    ("terminals", terminals::run),
    ("threads", threads::run),
    ("times", times::run),
    ("tracing", tracing::run),
    ("vectors", vectors::run),
    ("waiting", waiting::run),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let area = arguments.next().unwrap_or_default();
    if area == "child" {
        // The half of an exec test that runs after exec.
        return exec::child(&arguments.collect::<Vec<_>>());
    }
    let Some((_, run)) = AREAS.iter().find(|(name, _)| *name == area) else {
        eprintln!("conformance AREA, where AREA is one of:");
        AREAS.iter().for_each(|(name, _)| eprintln!("  {name}"));
        std::process::exit(2);
    };
    plain_signals();
    run();
}

/// Gives signals their default actions: Rust's runtime ignores SIGPIPE and handles SIGSEGV and SIGBUS, and a shell may
/// have us ignore some of those that terminals send.
fn plain_signals() {
    for signal in 1..libc::SIGSYS {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: the default action involves no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}
