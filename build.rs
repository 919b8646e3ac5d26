//! Links the kernel binary: a static ELF at its own addresses instead of a hosted program.
//!
//! Everything the link needs is passed from here, so that plain `cargo build` of a stable toolchain is enough.
//! The link itself goes through `scripts/link/ld.bfd` (found by the C compiler because of `-B`), which links
//! twice: the second time with the table of function names that the panic backtrace prints.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

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
    for file in ["linker.ld", "scripts/link/ld.bfd", "build.rs", "src/vdso"] {
        println!("cargo:rerun-if-changed={root}/{file}");
    }
    build_vdso(Path::new(&root));
}

/// Builds the shared object that the kernel maps into every program (src/vdso) as `$OUT_DIR/vdso.so`.
///
/// It is compiled on its own, not as a package: it must not bring a panic handler, a dynamic symbol or an optimisation
/// setting of the kernel's along, and rustc's own link of a `cdylib` leaves no room for symbol versions. It is always
/// optimised, because unoptimised code calls functions that it does not have. The link fails if anything is undefined
/// or would have to be relocated (vdso.lds).
fn build_vdso(root: &Path) {
    println!("cargo:rustc-check-cfg=cfg(rusk_vdso_image)");
    let output = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let source = root.join("src/vdso/image");
    let object = output.join("vdso.o");
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    run(Command::new(rustc)
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "vdso",
            "--crate-type",
            "lib",
            "--cfg",
            "rusk_vdso_image",
        ])
        .args(["--target", &std::env::var("TARGET").expect("cargo sets TARGET")])
        .args(["-Copt-level=3", "-Ccodegen-units=1", "-Cpanic=abort", "-Crelocation-model=pic"])
        .args(["-Cforce-unwind-tables=yes", "-Dwarnings"])
        .arg(format!("--emit=obj={}", object.display()))
        .arg(source.join("lib.rs")));
    run(Command::new("cc")
        .args(["-shared", "-nostdlib", "-fuse-ld=bfd", "-Wl,-Bsymbolic", "-Wl,-z,defs", "-Wl,-z,text"])
        .args(["-Wl,-soname,linux-vdso.so.1", "-Wl,--hash-style=both", "-Wl,--eh-frame-hdr"])
        .args(["-Wl,--build-id=sha1", "-Wl,-z,max-page-size=0x1000"])
        .arg(format!("-Wl,-T,{}", source.join("vdso.lds").display()))
        .arg("-o")
        .arg(output.join("vdso.so"))
        .arg(object));
}

/// Runs a tool to its end; the build fails if the tool does.
fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{command:?}: {status}"),
        Err(error) => panic!("{command:?}: {error}"),
    }
}
