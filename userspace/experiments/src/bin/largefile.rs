//! `largefile`: time for each MiB of a large file on a disk: in order and page by page in any order, through the page cache, a mapping,
//! and past the cache.

use experiments::storage::{Way, large_file};
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "largefile [--mib N (64)] [--in FOLDER (/tmp)] [--buffered-only]";

fn main() {
    let mut options = Options::parse(USAGE);
    let mib: usize = options.value("--mib", 64);
    let folder: String = options.value("--in", "/tmp".into());
    let ways: &[Way] = if options.flag("--buffered-only") {
        &[Way::Buffered]
    } else {
        &[Way::Buffered, Way::Mapped, Way::Direct]
    };
    options.finish();
    for way in ways {
        match large_file(&folder, mib << 20, *way) {
            Ok(times) => {
                for (what, time) in [
                    ("write", times.write),
                    ("read", times.read),
                    ("write_random", times.write_random),
                    ("read_random", times.read_random),
                ] {
                    report::per_operation(&format!("{}_{what}", way.name()), time, mib as u64);
                }
            }
            Err(error) => fail(way.name(), &error),
        }
    }
}
