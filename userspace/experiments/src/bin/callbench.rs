//! `callbench`: calls that programs make all the time, one by one.

use experiments::calls::{files, names, processes, streams};
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "callbench [--in FOLDER (/tmp)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let folder: String = options.value("--in", "/tmp".into());
    options.finish();
    for (what, measured) in [
        ("files", files(&folder)),
        ("names", names(&folder)),
        ("streams", streams()),
        ("processes", processes()),
    ] {
        match measured {
            Ok(figures) => figures.into_iter().for_each(|(name, figure)| report::value(name, figure, "ns")),
            Err(error) => fail(what, &error),
        }
    }
}
