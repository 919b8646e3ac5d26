//! `observe trace`: whether what Rusk tells of programs is what they did. It checks itself, as Linux has no such files.

mod trace;

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "trace" => trace::run(),
        _ => {
            eprintln!("observe trace");
            std::process::exit(2);
        }
    }
}
