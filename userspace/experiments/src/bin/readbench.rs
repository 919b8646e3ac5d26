//! `readbench`: reads and writes of a large buffer with one call each (the parallelism paper's section 3.2).
//!
//! A kernel that splits the copy over its CPUs gets faster with more of them.

use experiments::files::bulk;
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "readbench [--mib N (64)] [--times N (20)] [--in FOLDER (/tmp)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let mib: usize = options.value("--mib", 64);
    let times = options.value("--times", 20);
    let folder: String = options.value("--in", "/tmp".into());
    options.finish();
    match bulk(&folder, mib << 20, times) {
        Ok(elapsed) => {
            let kib = mib as u64 * 1024 * times;
            report::per_operation("read_per_kib", elapsed.read, kib);
            report::per_operation("write_per_kib", elapsed.write, kib);
        }
        Err(error) => fail("readbench", &error),
    }
}
