//! How much of a mapping is in memory, and who has it: `/proc/PID/smaps`.

use crate::check::{outcome, path, show, sys};
use std::fs;
use std::os::fd::AsRawFd;
use support::memory::PAGE;
use support::pipe::{Pipe, pipe};
use support::process::{Child, fork};

const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

pub fn run() {
    lines();
    own();
    after_fork();
    shared();
    of_files();
    locked();
    flags();
    sums();
}

fn map(pages: usize, rights: i32, flags: i32, file: i64) -> usize {
    sys!(SYS_mmap, 0, pages * PAGE, rights, flags, file, 0).expect("a mapping") as usize
}

fn unmap(at: usize, pages: usize) {
    let _ = sys!(SYS_munmap, at, pages * PAGE);
}

fn write(at: usize, page: usize) {
    // SAFETY: a mapping of the test's own.
    unsafe { ((at + page * PAGE) as *mut u8).write_volatile(1) };
}

fn touch(at: usize, page: usize) {
    // SAFETY: as for `write`.
    unsafe { ((at + page * PAGE) as *const u8).read_volatile() };
}

/// A file's lines about one region, as names and values.
fn region(at: usize) -> Vec<(String, String)> {
    let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("{at:08x}-"))).skip(1);
    let mut found = Vec::new();
    while let Some((name, value)) = lines.next().and_then(|line| line.split_once(':')) {
        found.push((name.to_string(), value.trim().to_string()));
        if name == "VmFlags" {
            break;
        }
    }
    found
}

fn field(lines: &[(String, String)], name: &str) -> u64 {
    let value = lines.iter().find(|(found, _)| found == name).map(|(_, value)| value.trim_end_matches(" kB"));
    value.and_then(|value| value.parse().ok()).unwrap_or(u64::MAX)
}

/// Sizes of a region. Whether a file's page is dirty is its file system's affair, so that is only told of memory.
fn sizes(at: usize, of_memory: bool) -> String {
    let lines = region(at);
    let of = |name: &str| field(&lines, name);
    let both = |kind: &str| {
        let [clean, dirty] = ["Clean", "Dirty"].map(|state| of(&format!("{kind}_{state}")));
        if of_memory { format!("{clean}+{dirty}") } else { (clean + dirty).to_string() }
    };
    format!(
        "size {} rss {} pss {} shared {} private {} anonymous {}",
        of("Size"),
        of("Rss"),
        of("Pss"),
        both("Shared"),
        both("Private"),
        of("Anonymous")
    )
}

fn lines() {
    let at = map(4, RW, PRIVATE, -1);
    write(at, 0);
    let names: Vec<_> =
        region(at).into_iter().map(|(name, _)| name).filter(|name| name != "ProtectionKey").collect();
    show("names", names.join(" "));
    let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for name in ["Size", "Private_Hugetlb", "THPeligible"] {
        let line = text.lines().skip_while(|line| !line.starts_with(&format!("{at:08x}-")));
        show("a line", line.skip(1).find(|line| line.starts_with(name)).unwrap_or("none"));
    }
    unmap(at, 4);
}

fn own() {
    // A page before and one behind it, so that it stays by itself.
    let whole = map(10, RW, PRIVATE, -1);
    for outer in [whole, whole + 9 * PAGE] {
        let _ = sys!(SYS_mprotect, outer, PAGE, libc::PROT_READ);
    }
    let at = whole + PAGE;
    show("untouched", sizes(at, true));
    (0..3).for_each(|page| write(at, page));
    show("three written", sizes(at, true));
    touch(at, 5);
    show("one only read", sizes(at, true));
    let _ = sys!(SYS_madvise, at, PAGE, libc::MADV_DONTNEED);
    show("one given back", sizes(at, true));
    outcome("no rights", sys!(SYS_mprotect, at, 8 * PAGE, libc::PROT_NONE));
    show("as before", sizes(at, true));
    unmap(whole, 10);
}

/// A child that does something with memory, and then waits until it is to go.
struct Helper {
    child: Child,
    end: Pipe,
}

impl Helper {
    fn new(work: impl FnOnce()) -> Self {
        let (ready, end) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let child = fork(|| {
            work();
            let _ = sys!(SYS_write, ready.writer.as_raw_fd(), b"x".as_ptr(), 1);
            let _ = sys!(SYS_read, end.reader.as_raw_fd(), [0_u8].as_mut_ptr(), 1);
            0
        });
        let _ = sys!(SYS_read, ready.reader.as_raw_fd(), [0_u8].as_mut_ptr(), 1);
        Self { child: child.expect("a child"), end }
    }

    fn end(self) {
        let _ = sys!(SYS_write, self.end.writer.as_raw_fd(), b"x".as_ptr(), 1);
        let _ = self.child.wait();
    }
}

fn after_fork() {
    let at = map(16, RW, PRIVATE, -1);
    (0..3).for_each(|page| write(at, page));
    let helper = Helper::new(|| show("the child's", sizes(at, true)));
    show("with a child", sizes(at, true));
    let second = Helper::new(|| {
        write(at, 0);
        show("the second child's", sizes(at, true));
    });
    show("with two", sizes(at, true));
    helper.end();
    show("with the second", sizes(at, true));
    second.end();
    show("alone", sizes(at, true));
    unmap(at, 16);
}

fn shared() {
    let at = map(8, RW, SHARED, -1);
    (0..4).for_each(|page| write(at, page));
    show("shared, alone", sizes(at, true));
    let helper = Helper::new(|| {
        touch(at, 0);
        write(at, 1);
        write(at, 6);
        show("the child's", sizes(at, false));
    });
    let told = region(at);
    show("with a child", format!("rss {} anonymous {}", field(&told, "Rss"), field(&told, "Anonymous")));
    helper.end();
    unmap(at, 8);
}

fn of_files() {
    fs::write("resident", vec![1; 4 * PAGE]).expect("a file");
    let file = sys!(SYS_open, path("resident").as_ptr(), libc::O_RDWR).expect("the file");
    let private = map(4, RW, libc::MAP_PRIVATE, file);
    (0..4).for_each(|page| touch(private, page));
    show("a file's", sizes(private, false));
    write(private, 2);
    show("one written", sizes(private, false));
    let second = map(4, libc::PROT_READ, libc::MAP_SHARED, file);
    (0..4).for_each(|page| touch(second, page));
    show("mapped again", sizes(second, false));
    show("the first", sizes(private, false));
    let helper = Helper::new(|| {
        unmap(private, 4);
        (0..4).for_each(|page| touch(second, page));
        show("the child's", sizes(second, false));
    });
    show("with a child", sizes(second, false));
    helper.end();
    unmap(second, 4);
    show("one mapping less", sizes(private, false));
    unmap(private, 4);
    let _ = sys!(SYS_close, file);
}

fn locked() {
    let at = map(4, RW, PRIVATE, -1);
    outcome("lock", sys!(SYS_mlock, at, 2 * PAGE));
    let told = region(at);
    show(
        "locked",
        format!(
            "size {} rss {} locked {}",
            field(&told, "Size"),
            field(&told, "Rss"),
            field(&told, "Locked")
        ),
    );
    show("the rest", field(&region(at + 2 * PAGE), "Locked"));
    unmap(at, 4);
}

fn flags() {
    let told = |what: &str, at: usize| {
        let lines = region(at);
        show(what, lines.iter().find(|(name, _)| name == "VmFlags").map_or("none", |(_, value)| value));
    };
    let at = map(2, RW, PRIVATE, -1);
    told("anonymous", at);
    for (name, advice) in [
        ("not forked", libc::MADV_DONTFORK),
        ("not dumped", libc::MADV_DONTDUMP),
        ("wiped", libc::MADV_WIPEONFORK),
    ] {
        let _ = sys!(SYS_madvise, at, 2 * PAGE, advice);
        told(name, at);
    }
    unmap(at, 2);
    for (name, rights, flags) in [
        ("shared", RW, SHARED),
        ("nothing allowed", 0, PRIVATE),
        ("code", libc::PROT_READ | libc::PROT_EXEC, PRIVATE),
        ("not reserved", RW, PRIVATE | libc::MAP_NORESERVE),
        ("a stack", RW, PRIVATE | libc::MAP_GROWSDOWN),
    ] {
        let at = map(2, rights, flags, -1);
        told(name, at);
        unmap(at, 2);
    }
    fs::write("resident", vec![1; PAGE]).expect("a file");
    let file = sys!(SYS_open, path("resident").as_ptr(), libc::O_RDONLY).expect("the file");
    for (name, flags) in [("a file, shared", libc::MAP_SHARED), ("a file, private", libc::MAP_PRIVATE)] {
        let at = map(1, libc::PROT_READ, flags, file);
        told(name, at);
        unmap(at, 1);
    }
    let _ = sys!(SYS_close, file);
}

fn sums() {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let sum = |text: &str, name: &str| -> u64 {
        let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.filter_map(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok()).sum()
    };
    let (all, once) = (read("smaps"), read("smaps_rollup"));
    let names = once.lines().skip(1).filter_map(|line| line.split_once(':').map(|(name, _)| name));
    show("names", names.collect::<Vec<_>>().join(" "));
    show("first line ends", once.lines().next().unwrap_or("").get(20..).unwrap_or("").trim_start());
    for name in ["Rss", "Pss", "Anonymous", "Private_Dirty"] {
        let (all, once) = (sum(&all, name), sum(&once, name));
        show(name, all > 0 && all.abs_diff(once) < 200);
    }
    let parts = ["Pss_Anon", "Pss_File", "Pss_Shmem"].map(|name| sum(&once, name));
    show("parts", sum(&once, "Pss").abs_diff(parts.iter().sum()) < 4);
}
