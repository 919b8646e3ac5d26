//! `throngs`: operations among tens of thousands of regions, descriptors, epoll instances and locks.

use experiments::throngs::{descriptors, instances, locks, regions};
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str =
    "throngs [--regions N (60000)] [--descriptors N (50000)] [--instances N (30000)] [--locks N (10000)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let of_regions: usize = options.value("--regions", 60_000);
    let of_descriptors: usize = options.value("--descriptors", 50_000);
    let of_instances: usize = options.value("--instances", 30_000);
    let of_locks: usize = options.value("--locks", 10_000);
    options.finish();
    for (what, measured) in [
        ("regions", regions(of_regions / 2)),
        ("descriptors", descriptors(of_descriptors)),
        ("instances", instances(of_instances)),
        ("locks", locks(of_locks)),
    ] {
        match measured {
            Ok(figures) => figures.into_iter().for_each(|(name, figure)| report::value(name, figure, "ns")),
            Err(error) => fail(what, &error),
        }
    }
}
