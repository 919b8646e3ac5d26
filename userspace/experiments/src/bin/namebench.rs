//! `namebench`: names made and removed by several processes in directories of their own, and one path looked up by all of them (as
//! in Biscuit's section 8.10; `/proc/sys/fs/lookup_form` says whether with a lock).

use experiments::storage::{create_and_unlink, lookups};
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "namebench [--processes N (1)] [--files N (20000)] [--lookups N (500000)] [--depth N (4)] [--in FOLDER (/tmp)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let processes: usize = options.value("--processes", 1);
    let files: u64 = options.value("--files", 20_000);
    let names: u64 = options.value("--lookups", 500_000);
    let depth = options.value("--depth", 4);
    let folder: String = options.value("--in", "/tmp".into());
    options.finish();
    for (name, count, measured) in [
        ("create_unlink", files, create_and_unlink(&folder, processes, files)),
        ("lookup", names, lookups(&folder, processes, depth, names)),
    ] {
        match measured {
            // Of all processes together.
            Ok(elapsed) => report::per_operation(name, elapsed, count * processes as u64),
            Err(error) => fail(name, &error),
        }
    }
}
