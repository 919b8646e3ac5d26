//! The form in which measurements are printed: `bench NAME VALUE UNIT`, one a line, for people and for
//! `scripts/bench`, which reads nothing else.

/// Prints a figure: `total` nanoseconds for `count` operations.
pub fn per_operation(name: &str, total: u64, count: u64) {
    value(name, total as f64 / count as f64, "ns");
}

/// Prints any figure.
pub fn value(name: &str, value: f64, unit: &str) {
    println!("bench {name:<24} {value:>16.1} {unit}");
}
