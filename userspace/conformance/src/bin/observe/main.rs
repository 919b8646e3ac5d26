//! `observe trace|profile`: whether what Rusk tells of programs is what they did. It checks itself, as Linux has no such
//! files.

mod profile;
mod trace;

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "trace" => trace::run(),
        "profile" => profile::run(),
        _ => {
            eprintln!("observe trace|profile");
            std::process::exit(2);
        }
    }
}
