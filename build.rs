//! Links the kernel binary: a static ELF at its own addresses instead of a hosted program.
//!
//! Everything the link needs is passed from here, so that plain `cargo build` of a stable toolchain is enough.
//! The link itself goes through `scripts/link/ld.bfd` (found by the C compiler because of `-B`), which links
//! twice: the second time with the table of function names that the panic backtrace prints.

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    for argument in [
        "-nostdlib",
        "-nostartfiles",
        "-static",
        "-no-pie",
        // rustc's default linker on this target is lld, which lays out load addresses differently; the last
        // -fuse-ld wins.
        "-fuse-ld=bfd",
        &format!("-B{root}/scripts/link"),
        &format!("-Wl,-T,{root}/linker.ld"),
        // Pages are 2 MiB in memory, but the file need not be padded to that.
        "-Wl,-z,max-page-size=0x1000",
        "-Wl,-z,norelro",
        "-Wl,--build-id=none",
        // The search table with which the backtrace finds a function's unwind entry.
        "-Wl,--eh-frame-hdr",
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    for file in ["linker.ld", "scripts/link/ld.bfd", "build.rs"] {
        println!("cargo:rerun-if-changed={root}/{file}");
    }
}
