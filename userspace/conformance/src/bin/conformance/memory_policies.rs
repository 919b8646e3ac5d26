//! Where memory is to come from, on a machine with one node of it.

use crate::check::{in_child, outcome, show, sys};
use std::fs;
use std::io;
use support::errno::error_name;
use support::memory::PAGE;

const DEFAULT: i32 = libc::MPOL_DEFAULT;
const PREFERRED: i32 = libc::MPOL_PREFERRED;
const BIND: i32 = libc::MPOL_BIND;
const INTERLEAVE: i32 = libc::MPOL_INTERLEAVE;
const LOCAL: i32 = libc::MPOL_LOCAL;
const PREFERRED_MANY: i32 = 5;
const STATIC: i32 = libc::MPOL_F_STATIC_NODES;
const RELATIVE: i32 = libc::MPOL_F_RELATIVE_NODES;
const BALANCING: i32 = libc::MPOL_F_NUMA_BALANCING;
const NODE: i32 = 1;
const ADDRESS: i32 = 2;
const ALLOWED: i32 = 4;
const MOVE: i32 = 2;
const MOVE_ALL: i32 = 4;

const MODES: [(&str, i32); 8] = [
    ("default", DEFAULT),
    ("preferred", PREFERRED),
    ("bind", BIND),
    ("interleave", INTERLEAVE),
    ("local", LOCAL),
    ("preferred many", PREFERRED_MANY),
    ("6", 6),
    ("-1", -1),
];
const FLAGS: [(&str, i32); 5] = [
    ("", 0),
    (" static", STATIC),
    (" relative", RELATIVE),
    (" balancing", BALANCING),
    (" both", STATIC | RELATIVE),
];
/// Sets of nodes, and how many bits of them count: one less than said.
const SETS: [(&str, Option<u64>, usize); 6] = [
    ("no set", None, 0),
    ("empty", Some(0), 65),
    ("node 0", Some(1), 65),
    ("node 1", Some(2), 65),
    ("both", Some(3), 65),
    ("cut", Some(2), 2),
];

pub fn run() {
    of_threads();
    of_memory();
    asking();
    sets();
    homes();
    pages();
    moving();
    inheriting();
    files();
}

fn address(set: &Option<u64>) -> usize {
    set.as_ref().map_or(0, |word| std::ptr::from_ref(word) as usize)
}

fn memory(pages: usize) -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    sys!(SYS_mmap, 0, pages * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("memory")
        as usize
}

fn free(at: usize, pages: usize) {
    let _ = sys!(SYS_munmap, at, pages * PAGE);
}

fn write(at: usize) {
    // SAFETY: memory of the test's own.
    unsafe { (at as *mut u8).write_volatile(1) };
}

/// A policy as it is told: its word and its set.
fn told(at: usize, flags: i32) -> String {
    let (mut word, mut set) = (-2_i32, [7_u64; 2]);
    match sys!(SYS_get_mempolicy, &raw mut word, set.as_mut_ptr(), 128, at, flags) {
        // What was named besides node 0 is told by some modes and not by others.
        Ok(_) => format!("{word:#x} {} {}", set[0] & 1, set[1]),
        Err(error) => error_name(&error),
    }
}

fn set(mode: i32, nodes: &Option<u64>, bits: usize) -> io::Result<i64> {
    sys!(SYS_set_mempolicy, mode, address(nodes), bits)
}

fn bind(at: usize, len: usize, mode: i32, nodes: &Option<u64>, flags: i32) -> io::Result<i64> {
    sys!(SYS_mbind, at, len, mode, address(nodes), 65, flags)
}

fn of_threads() {
    show("at first", told(0, 0));
    for (mode_name, mode) in MODES {
        for (flag_name, flag) in FLAGS {
            let all = SETS.map(|(_, nodes, bits)| match set(mode | flag, &nodes, bits) {
                Ok(_) => told(0, 0),
                Err(error) => error_name(&error),
            });
            show(&format!("{mode_name}{flag_name}"), all.join(", "));
        }
    }
    outcome("none again", set(DEFAULT, &None, 0));
}

fn of_memory() {
    let at = memory(8);
    let one = Some(1);
    outcome("whole", bind(at, 8 * PAGE, BIND, &one, 0));
    show("told", told(at + PAGE, ADDRESS));
    outcome("part", bind(at + 2 * PAGE, PAGE + 1, INTERLEAVE, &one, 0));
    show("told", [1, 2, 3, 4].map(|page| told(at + page * PAGE + 5, ADDRESS)).join(", "));
    outcome("none", bind(at + 2 * PAGE, PAGE, DEFAULT, &None, 0));
    show("told", [1, 2, 3, 4].map(|page| told(at + page * PAGE, ADDRESS)).join(", "));
    outcome("within a page", bind(at + 1, PAGE, BIND, &one, 0));
    outcome("of no length", bind(at, 0, BIND, &one, 0));
    outcome("of no length, bad nodes", bind(at, 0, BIND, &None, 0));
    outcome("wrapping", bind(at, usize::MAX, BIND, &one, 0));
    outcome("behind the end", bind(usize::MAX - PAGE + 1, 2 * PAGE, BIND, &one, 0));
    outcome("bad flags", bind(at, PAGE, BIND, &one, 8));
    outcome("bad mode first", bind(at + 1, PAGE, 6, &one, 64));
    outcome("bad nodes", bind(at, PAGE, BIND, &Some(2), 0));
    outcome("moving", bind(at, PAGE, BIND, &one, MOVE | 1));
    outcome("moving all", bind(at, PAGE, BIND, &one, MOVE_ALL));
    let _ = sys!(SYS_munmap, at + 4 * PAGE, PAGE);
    outcome("over a hole", bind(at, 8 * PAGE, LOCAL, &None, 0));
    show("as before", told(at, ADDRESS));
    outcome("in the hole", bind(at + 4 * PAGE, PAGE, LOCAL, &None, 0));
    show("asked there", told(at + 4 * PAGE, ADDRESS));
    outcome("set nowhere", sys!(SYS_mbind, at, PAGE, BIND, 8, 65, 0));
    in_child("moving all without the right", move || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("moving all", bind(at, PAGE, BIND, &Some(1), MOVE_ALL));
        outcome("moving", bind(at, PAGE, BIND, &Some(1), MOVE));
        0
    });
    free(at, 8);
}

fn asking() {
    let ask = |policy: usize, nodes: usize, bits: usize, at: usize, flags: i32| {
        sys!(SYS_get_mempolicy, policy, nodes, bits, at, flags)
    };
    let at = memory(2);
    let mut word = 0_i32;
    let to = &raw mut word as usize;
    outcome("nothing", ask(0, 0, 0, 0, 0));
    outcome("no bits for the set", ask(0, to, 0, 0, 0));
    outcome("an address not asked about", ask(to, 0, 0, at, 0));
    outcome("bad flags", ask(to, 0, 0, 0, 8));
    outcome("allowed nodes of an address", ask(to, 0, 0, at, ALLOWED | ADDRESS));
    show("allowed nodes", told(0, ALLOWED));
    show("allowed nodes, address given", told(at, ALLOWED));
    show("node of a page", told(at, NODE | ADDRESS));
    show("node of nothing", told(8, NODE | ADDRESS));
    show("node whose turn it is, without turns", told(0, NODE));
    let _ = set(INTERLEAVE, &Some(1), 65);
    show("node whose turn it is", told(0, NODE));
    show("policy of memory without", told(at, ADDRESS));
    outcome("policy to nowhere", ask(8, 0, 0, 0, 0));
    outcome("set to nowhere", ask(to, 8, 65, 0, 0));
    let _ = set(DEFAULT, &None, 0);
    // How much is written.
    for bits in [1, 2, 64, 65, 66, 129] {
        let mut set = [u64::MAX; 4];
        let asked = ask(0, set.as_mut_ptr() as usize, bits, 0, ALLOWED).is_ok();
        show(&format!("{bits} bits"), format!("{asked} {set:x?}"));
    }
    free(at, 2);
}

fn sets() {
    let mut words = vec![0_u64; 514];
    words[0] = 1;
    let at = words.as_ptr() as usize;
    let set = |bits: usize| sys!(SYS_set_mempolicy, BIND, at, bits);
    for bits in [0, 1, 2, 64, 1024, 1025, 1026, 32768, 32769, 32770] {
        outcome(&format!("{bits} bits"), set(bits));
    }
    let mut words = vec![0_u64; 514];
    words[0] = 1;
    words[16] = 1;
    let at = words.as_ptr() as usize;
    for bits in [1025, 1026, 2000] {
        outcome(&format!("{bits} bits, of which one is too high"), sys!(SYS_set_mempolicy, BIND, at, bits));
    }
    let _ = sys!(SYS_set_mempolicy, DEFAULT, 0, 0);
}

fn homes() {
    let at = memory(4);
    let home = |at: usize, len: usize, node: usize, flags: usize| {
        sys!(SYS_set_mempolicy_home_node, at, len, node, flags)
    };
    outcome("without a policy", home(at, PAGE, 0, 0));
    let _ = bind(at, PAGE, BIND, &Some(1), 0);
    outcome("bound", home(at, 4 * PAGE, 0, 0));
    let _ = bind(at, PAGE, PREFERRED_MANY, &Some(1), 0);
    outcome("preferred", home(at, PAGE, 0, 0));
    let _ = bind(at + PAGE, PAGE, INTERLEAVE, &Some(1), 0);
    outcome("interleaved", home(at + PAGE, PAGE, 0, 0));
    outcome("no such node", home(at, PAGE, 1, 0));
    outcome("flags", home(at, PAGE, 0, 1));
    outcome("within a page", home(at + 1, PAGE, 0, 0));
    outcome("of no length", home(at, 0, 0, 0));
    free(at, 4);
    outcome("nothing mapped", home(at, PAGE, 0, 0));
}

fn pages() {
    let file = crate::check::path("pages");
    fs::write("pages", [1; 3 * PAGE]).expect("a file");
    let descriptor = sys!(SYS_open, file.as_ptr(), libc::O_RDWR).expect("the file");
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let shared =
        sys!(SYS_mmap, 0, 2 * PAGE, rights, libc::MAP_SHARED, descriptor, 0).expect("a mapping") as usize;
    let at = memory(3);
    write(at);
    write(shared);
    let list = [at, at + PAGE, shared, shared + PAGE, 8, at + 100];
    let ask = |nodes: Option<&[i32; 6]>, flags: i32| {
        let mut states = [-99_i32; 6];
        let nodes = nodes.map_or(0, |nodes| nodes.as_ptr() as usize);
        let result = sys!(SYS_move_pages, 0, 6, list.as_ptr(), nodes, states.as_mut_ptr(), flags);
        let result = result.map_or_else(|error| error_name(&error), |left| left.to_string());
        format!("{result} {states:?}")
    };
    show("where pages are", ask(None, 0));
    show("moved", ask(Some(&[0; 6]), MOVE));
    show("moved, all of them", ask(Some(&[0; 6]), MOVE_ALL));
    show("to no node", ask(Some(&[0, 0, 1, 0, 0, 0]), MOVE));
    show("to a strange node", ask(Some(&[-1, 0, 1, 0, 0, 0]), MOVE));
    show("bad flags", ask(Some(&[0; 6]), 1));
    outcome("none", sys!(SYS_move_pages, 0, 0, 0, 0, 0, 0));
    outcome("list nowhere", sys!(SYS_move_pages, 0, 1, 8, 0, 0, 0));
    outcome("answer nowhere", sys!(SYS_move_pages, 0, 1, list.as_ptr(), 0, 8, 0));
    outcome("no such process", sys!(SYS_move_pages, 0x3fff_fff0, 1, list.as_ptr(), 0, 8, 0));
    let many: Vec<usize> = (0..200).map(|page| if page % 3 == 0 { at } else { 8 }).collect();
    let mut states = vec![-99_i32; 200];
    outcome("many", sys!(SYS_move_pages, 0, 200, many.as_ptr(), 0, states.as_mut_ptr(), 0));
    show("of which are there", states.iter().filter(|state| **state == 0).count());
    in_child("another's", move || {
        let parent = std::os::unix::process::parent_id();
        let mut state = -99_i32;
        outcome("root", sys!(SYS_move_pages, parent, 1, list.as_ptr(), 0, &raw mut state, 0));
        show("state", state);
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("a user", sys!(SYS_move_pages, parent, 1, list.as_ptr(), 0, &raw mut state, 0));
        0
    });
    free(at, 3);
    free(shared, 2);
    let _ = sys!(SYS_close, descriptor);
}

fn moving() {
    let (none, first, second, both) = (0_u64, 1_u64, 2_u64, 3_u64);
    let migrate = |process: u32, from: &u64, to: &u64| {
        sys!(SYS_migrate_pages, process, 65, std::ptr::from_ref(from), std::ptr::from_ref(to))
    };
    outcome("to where it is", migrate(0, &first, &first));
    outcome("from elsewhere", migrate(0, &second, &first));
    outcome("to nowhere", migrate(0, &first, &none));
    outcome("to elsewhere", migrate(0, &first, &second));
    outcome("to both", migrate(0, &first, &both));
    outcome("no such process", migrate(0x3fff_fff0, &first, &first));
    outcome("set nowhere", sys!(SYS_migrate_pages, 0, 65, 8, 8));
    in_child("as a user", move || {
        let parent = std::os::unix::process::parent_id();
        outcome("the parent's, root", migrate(parent, &first, &first));
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("the parent's", migrate(parent, &first, &first));
        outcome("to elsewhere", migrate(0, &first, &second));
        outcome("to both", migrate(0, &first, &both));
        outcome("to where it is", migrate(0, &first, &first));
        0
    });
}

fn inheriting() {
    let at = memory(2);
    let _ = set(PREFERRED, &Some(1), 65);
    let _ = bind(at, PAGE, BIND | STATIC, &Some(1), 0);
    in_child("a child", move || {
        show("its own", told(0, 0));
        show("its memory's", [at, at + PAGE].map(|at| told(at, ADDRESS)).join(", "));
        0
    });
    let thread = std::thread::spawn(|| {
        let before = told(0, 0);
        let _ = set(INTERLEAVE, &Some(1), 65);
        format!("{before}, {}", told(0, 0))
    });
    show("a thread", thread.join().unwrap_or_default());
    show("the first thread", told(0, 0));
    // Moved memory keeps it, and what is mapped anew where it was has none.
    let moved = sys!(SYS_mremap, at, PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE).expect("moved") as usize;
    show("moved", [moved, moved + PAGE].map(|at| told(at, ADDRESS)).join(", "));
    free(moved, 2);
    free(at + PAGE, 1);
    let _ = set(DEFAULT, &None, 0);
}

/// The policy and some counts of the line of `/proc/self/numa_maps` about an address.
fn line(at: usize) -> String {
    let text = fs::read_to_string("/proc/self/numa_maps").unwrap_or_default();
    let start = format!("{at:08x} ");
    let Some(line) = text.lines().find_map(|line| line.strip_prefix(&start)) else { return "none".into() };
    // When pages were used, and by how many, is as it comes.
    let is_told = |word: &&str| {
        !["active=", "mapmax=", "mapped=", "dirty="].iter().any(|other| word.starts_with(other))
    };
    line.split(' ').filter(is_told).collect::<Vec<_>>().join(" ")
}

fn files() {
    let at = memory(20);
    for (index, (mode, nodes)) in [
        (BIND, Some(1)),
        (INTERLEAVE, Some(1)),
        (PREFERRED, Some(1)),
        (LOCAL, None),
        (PREFERRED_MANY, Some(1)),
        (BIND | STATIC, Some(1)),
        (INTERLEAVE | RELATIVE, Some(1)),
        (BIND | BALANCING, Some(1)),
        (BIND | BALANCING | STATIC, Some(1)),
        (INTERLEAVE | RELATIVE, Some(2)),
    ]
    .into_iter()
    .enumerate()
    {
        let page = at + 2 * index * PAGE;
        let _ = bind(page, PAGE, mode, &nodes, 0);
        if index % 2 == 0 {
            write(page);
        }
        show(&format!("{mode:#x}"), line(page));
    }
    let _ = set(INTERLEAVE, &Some(1), 65);
    show("without one of its own", line(at + PAGE));
    let _ = set(DEFAULT, &None, 0);
    free(at, 20);
    let node = |name: &str| {
        fs::read_to_string(format!("/sys/devices/system/node/{name}"))
            .unwrap_or_else(|error| error.to_string())
    };
    for name in ["online", "possible", "has_cpu", "has_memory", "has_normal_memory", "node0/distance"] {
        show(name, node(name).trim_end());
    }
    let cpus = |name: &str| fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).unwrap_or_default();
    show("the node's CPUs are all", node("node0/cpulist") == cpus("online"));
    show("links", fs::read_link("/sys/devices/system/node/node0/cpu0").unwrap_or_default().display());
    let total = node("node0/meminfo");
    let of = |text: &str| text.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).next_back();
    let lines: Vec<_> = total.lines().take(3).collect();
    let free = lines.get(1).and_then(|line| of(line.trim_end_matches(" kB")));
    show(
        "a total, what is free, and what is used",
        lines.iter().map(|line| line.split(':').next().unwrap_or("")).collect::<Vec<_>>().join(", "),
    );
    show("some is free", free.is_some_and(|free| free > 1000));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("Mems_allowed")) {
        show("status", line.replace('\t', " "));
    }
}
