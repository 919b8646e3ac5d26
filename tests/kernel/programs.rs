//! Programs on Rusk, compared with the same programs on Linux: those with threads or processes beside each other run with
//! 1, 2, 4 and 8 CPUs, the others once.
//!
//! Each test is one command in a running machine; the machine is shared by all tests with its number of CPUs, so
//! booting is paid once. A command that brings the machine down fails alone: the rest runs on a new one.
//! `cargo test --release --test kernel programs::cpus_2` runs one column, `... signals` one row.

use crate::machine::batch::{self, Job, Matrix, Outcome};
use crate::machine::compare::compare;
use crate::machine::{file_name, root_image, shell_scripts};

/// How a command is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Output and end are those on Linux.
    AsOnLinux,
    /// It checks itself, and exits with status 0.
    Succeeds,
}

/// A command, and what is expected of it.
struct Program {
    name: &'static str,
    command: &'static str,
    /// Seconds that it may take.
    limit: u64,
    verdict: Verdict,
    /// Whether it runs in the module [`ONCE`] alone.
    is_once: bool,
}

/// The modules, and CPUs of the machines in them.
const COLUMNS: [(&str, usize); 4] = [("cpus_1", 1), ("cpus_2", 2), ("cpus_4", 4), ("cpus_8", 8)];

/// Where most rows run that have one thread at a time: one number of CPUs says it all.
const ONCE: &str = "cpus_2";

/// Defines the rows, and for each number of CPUs a module with a test per row.
macro_rules! programs {
    (once { $($once:ident: $once_command:literal, $once_seconds:literal, $once_verdict:ident;)* }
     everywhere { $($name:ident: $command:literal, $seconds:literal, $verdict:ident;)* }) => {
        const PROGRAMS: &[Program] = &[
            $(Program {
                name: stringify!($once),
                command: $once_command,
                limit: $once_seconds,
                verdict: Verdict::$once_verdict,
                is_once: true,
            },)*
            $(Program {
                name: stringify!($name),
                command: $command,
                limit: $seconds,
                verdict: Verdict::$verdict,
                is_once: false,
            },)*
        ];
        programs!(@on cpus_1, 1, $($name)*);
        programs!(@on cpus_2, 2, $($once)* $($name)*);
        programs!(@on cpus_4, 4, $($name)*);
        programs!(@on cpus_8, 8, $($name)*);
    };
    (@on $module:ident, $cpus:literal, $($name:ident)*) => {
        mod $module {
            #[test]
            fn powers_off() {
                super::ended_well($cpus, &super::MATRIX.on_rusk(stringify!($module))[super::batch::END]);
            }
            $(
                #[test]
                fn $name() {
                    super::judge(stringify!($module), stringify!($name));
                }
            )*
        }
    };
}

programs! {
    // They do one thing after the other, and find out what it does.
    once {
        arguments: "conformance arguments", 60, AsOnLinux;
        descriptors: "conformance descriptors", 60, AsOnLinux;
        disks: "conformance disks", 60, AsOnLinux;
        aio: "conformance aio", 60, AsOnLinux;
        errors: "conformance errors", 60, AsOnLinux;
        file_owners: "conformance file_owners", 60, AsOnLinux;
        handles: "conformance handles", 60, AsOnLinux;
        identity: "conformance identity", 60, AsOnLinux;
        loops: "conformance loops", 60, AsOnLinux;
        memory_policies: "conformance memory_policies", 60, AsOnLinux;
        names: "conformance names", 60, AsOnLinux;
        pipe_packets: "conformance pipe_packets", 60, AsOnLinux;
        pitfalls: "conformance pitfalls", 60, AsOnLinux;
        process_files: "conformance process_files", 60, AsOnLinux;
        procfs: "conformance procfs", 60, AsOnLinux;
        residency: "conformance residency", 60, AsOnLinux;
        seals: "conformance seals", 60, AsOnLinux;
        seccomp: "conformance seccomp", 60, AsOnLinux;
        socket_errors: "conformance socket_errors", 60, AsOnLinux;
        socket_names: "conformance socket_names", 60, AsOnLinux;
        c_library: "library", 60, AsOnLinux;
        c_library_pie: "library-pie", 60, AsOnLinux;
        c_library_musl: "library-musl", 60, AsOnLinux;
        busybox_archives: "sh /usr/lib/tests/archives.sh", 60, AsOnLinux;
        busybox_files: "sh /usr/lib/tests/files.sh", 60, AsOnLinux;
        busybox_loops: "sh /usr/lib/tests/loops.sh", 60, AsOnLinux;
        busybox_tools: "sh /usr/lib/tests/tools.sh", 60, AsOnLinux;
        busybox_text: "sh /usr/lib/tests/text.sh", 60, AsOnLinux;
        abi: "conformance abi", 60, Succeeds;
        damage: "damage 1000", 120, Succeeds;
    }
    everywhere {
        epoll: "conformance epoll", 60, AsOnLinux;
        event_files: "conformance event_files", 60, AsOnLinux;
        exec: "conformance exec", 120, AsOnLinux;
        files: "conformance files", 60, AsOnLinux;
        fsstress: "fsstress --operations 500", 60, AsOnLinux;
        fsx: "fsx --size 65536 --operations 500 && fsx --seed 2 --compare 0", 60, AsOnLinux;
        futexes: "conformance futexes", 60, AsOnLinux;
        inotify: "conformance inotify", 60, AsOnLinux;
        interruptions: "conformance interruptions", 120, AsOnLinux;
        ipc: "conformance ipc", 60, AsOnLinux;
        job_control: "conformance job_control", 60, AsOnLinux;
        locks: "conformance locks", 60, AsOnLinux;
        mappings: "conformance mappings", 60, AsOnLinux;
        memory: "conformance memory", 60, AsOnLinux;
        pieces: "conformance pieces", 60, AsOnLinux;
        pipes: "conformance pipes", 60, AsOnLinux;
        polling: "conformance polling", 60, AsOnLinux;
        processes: "conformance processes", 60, AsOnLinux;
        rings: "conformance rings", 60, AsOnLinux;
        signals: "conformance signals", 60, AsOnLinux;
        socket_datagrams: "conformance socket_datagrams", 60, AsOnLinux;
        socket_packets: "conformance socket_packets", 60, AsOnLinux;
        socket_rights: "conformance socket_rights", 60, AsOnLinux;
        socket_streams: "conformance socket_streams", 60, AsOnLinux;
        splices: "conformance splices", 60, AsOnLinux;
        terminals: "conformance terminals", 60, AsOnLinux;
        threads: "conformance threads", 60, AsOnLinux;
        times: "conformance times", 60, AsOnLinux;
        tracing: "conformance tracing", 60, AsOnLinux;
        vectors: "conformance vectors", 60, AsOnLinux;
        waiting: "conformance waiting", 60, AsOnLinux;
        c_threads: "threads", 60, AsOnLinux;
        c_threads_pie: "threads-pie", 60, AsOnLinux;
        c_threads_musl: "threads-musl", 60, AsOnLinux;
        busybox_processes: "sh /usr/lib/tests/processes.sh", 60, AsOnLinux;
        busybox_shell: "sh /usr/lib/tests/shell.sh", 60, AsOnLinux;
        observed_calls: "observe trace", 60, Succeeds;
        observed_time: "observe profile", 60, Succeeds;
        waiting_threads: "waiting", 60, Succeeds;
        storm_calls: "resources note; storm calls 1 && resources check", 60, Succeeds;
        storm_epolls: "resources note; storm epolls 1 && resources check", 60, Succeeds;
        storm_faults: "resources note; storm faults 1 && resources check", 60, Succeeds;
        storm_forks: "resources note; storm forks 1 && resources check", 60, Succeeds;
        storm_futexes: "resources note; storm futexes 1 && resources check", 60, Succeeds;
        // The first fills what the kernel keeps for the next time.
        storm_kills: "storm kills 1; resources note; storm kills 1 && resources check", 60, Succeeds;
        storm_pipes: "resources note; storm pipes 1 && resources check", 60, Succeeds;
        storm_rings: "storm rings 1; resources note; storm rings 1 && resources check", 60, Succeeds;
        storm_sockets: "resources note; storm sockets 1 && resources check", 60, Succeeds;
        storm_signals: "resources note; storm signals 1 && resources check", 60, Succeeds;
    }
}

/// The jobs the command line asks for in a module.
fn jobs(module: &str) -> Vec<Job> {
    PROGRAMS
        .iter()
        .filter(|program| {
            let is_here = !program.is_once || module == ONCE;
            is_here && batch::is_asked_for(&format!("programs::{module}::{}", program.name))
        })
        .map(|program| Job {
            name: program.name.into(),
            command: program.command.into(),
            limit: program.limit,
        })
        .collect()
}

/// Those that any module asks for and that are compared, in the rows' order, as on Rusk, because some leave something behind.
fn jobs_on_linux() -> Vec<Job> {
    let asked: Vec<Job> = COLUMNS.iter().flat_map(|(module, _)| jobs(module)).collect();
    let compared = PROGRAMS.iter().filter(|program| program.verdict == Verdict::AsOnLinux);
    compared.filter_map(|program| asked.iter().find(|job| job.name == program.name).cloned()).collect()
}

static MATRIX: Matrix = Matrix::new(root_image, &COLUMNS, jobs, jobs_on_linux);

fn verdict_of(name: &str) -> Verdict {
    PROGRAMS.iter().find(|program| program.name == name).expect("a known program").verdict
}

fn judge(module: &str, name: &str) {
    let ours = match &MATRIX.on_rusk(module)[name] {
        Ok(outcome) => outcome,
        Err(lost) => panic!("{lost}"),
    };
    match verdict_of(name) {
        Verdict::Succeeds => assert_eq!(ours.end, "exited 0", "it printed:\n{}", ours.output),
        Verdict::AsOnLinux => match &MATRIX.on_linux()[name] {
            // Neither says what it would have printed.
            Ok(theirs) if theirs.end == batch::TIMEOUT => {
                panic!("too slow on Linux, too:\n{}", theirs.output)
            }
            Ok(theirs) => {
                // Two that could not even begin would be equal, too.
                assert_eq!(theirs.end, "exited 0", "on Linux, which printed:\n{}", theirs.output);
                compare(ours, theirs);
            }
            Err(lost) => panic!("on Linux: {lost}"),
        },
    }
}

/// After everything that ran on it, the machine must still power off in order.
fn ended_well(cpus: usize, end: &Result<Outcome, String>) {
    match end {
        Ok(outcome) => assert_eq!(outcome.end, "exited 0", "a machine with {cpus} CPUs"),
        Err(lost) => panic!("{lost}"),
    }
}

/// Every shell script has its row.
#[test]
fn all_scripts_are_run() {
    for script in shell_scripts() {
        let command = format!("sh /usr/lib/tests/{}", file_name(&script));
        assert!(PROGRAMS.iter().any(|program| program.command == command), "{} has no row", script.display());
    }
}
