//! `diskbench`: what a transfer of 4 KiB from a disk, or to it, costs a machine with one CPU, from the system call to the device
//! and back.

use experiments::disks::{Way, move_pages};
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "diskbench [OPTION]...
  --disk PATH      the disk, or a file that is as large (/dev/sda)
  --depth N        how many threads do so at a time (1)
  --reads N        how often (4096)
  --direct         past the page cache
  --write          past the page cache, to the disk instead of from it";

fn main() {
    let mut options = Options::parse(USAGE);
    let disk: String = options.value("--disk", "/dev/sda".into());
    let depth = options.value("--depth", 1);
    let reads = options.value("--reads", 4096);
    let direct = options.flag("--direct");
    let (way, what) = match (options.flag("--write"), direct) {
        (true, _) => (Way::Write, "write_direct_4k"),
        (false, true) => (Way::Read, "read_direct_4k"),
        (false, false) => (Way::ReadThroughCache, "read_4k"),
    };
    options.finish();
    match move_pages(&disk, way, depth, reads) {
        Ok(elapsed) => report::per_operation(&format!("{what}_depth_{depth}"), elapsed, reads),
        Err(error) => fail("diskbench", &error),
    }
}
