//! Link arguments of the shared library: no undefined symbol may wait for the moment it is preloaded, the library stays
//! mapped once loaded (threads hold pointers into it), its own calls bind to itself, and nothing binds lazily. Where the
//! linker can, things lie as `layout.ld` says.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=layout.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    for argument in [
        "-Wl,-z,defs",
        "-Wl,-z,nodelete",
        "-Wl,-z,now",
        "-Wl,-Bsymbolic-functions",
        "-Wl,-soname,libaloof.so",
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    let Ok(root) = env::var("CARGO_MANIFEST_DIR") else {
        return;
    };
    let layout = [
        format!("-Wl,-T,{root}/layout.ld"),
        "-Wl,-z,separate-code".to_owned(),
    ];
    if links_with(&layout).unwrap_or(false) {
        for argument in layout {
            println!("cargo:rustc-cdylib-link-arg={argument}");
        }
    }
}

/// Whether a shared library without content links with these arguments, by the linker and flags that are used here: gold,
/// for one, knows no `INSERT`. A library that does not lie as it should needs a few pages more, no more than that.
fn links_with(arguments: &[String]) -> Option<bool> {
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    rustc
        .args([
            "--crate-name=probe",
            "--crate-type=cdylib",
            "--edition=2024",
        ])
        .args(["-Cpanic=abort", "--target", &env::var("TARGET").ok()?])
        .args(["--out-dir", &env::var("OUT_DIR").ok()?, "-"]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    for argument in arguments {
        rustc.arg(format!("-Clink-arg={argument}"));
    }
    let mut probe = rustc
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    probe
        .stdin
        .take()?
        .write_all(
            b"#![no_std] #[panic_handler] fn end(_: &core::panic::PanicInfo) -> ! { loop {} }",
        )
        .ok()?;
    Some(probe.wait().ok()?.success())
}
