//! The seeds of the tests that take long: `SEEDS=100..105` narrows them, so that several processes share the work.

use std::ops::Range;

/// Those of a test's seeds that this process is asked for: all of them without `SEEDS`.
pub fn asked_for(all: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else { return all };
    let (start, end) = text.split_once("..").expect("SEEDS is START..END");
    let number = |text: &str| text.parse::<u64>().expect("SEEDS is START..END");
    let asked = number(start).max(all.start)..number(end).min(all.end);
    assert!(!asked.is_empty(), "none of {all:?} is in SEEDS={text}");
    asked
}
