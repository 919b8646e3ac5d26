//! `pingpong`: round trips of a short message between two processes over two pipes.

use experiments::pipes::ping_pong;
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "pingpong [--round-trips N (20000)] [--bytes N (5)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let round_trips = options.value("--round-trips", 20_000);
    let bytes = options.value("--bytes", 5);
    options.finish();
    match ping_pong(round_trips, bytes) {
        Ok(elapsed) => report::per_operation("pingpong", elapsed, round_trips),
        Err(error) => fail("pingpong", &error),
    }
}
