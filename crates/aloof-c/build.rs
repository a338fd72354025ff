//! Link arguments of the shared library: no undefined symbol may wait for the moment it is preloaded, the library stays
//! mapped once loaded (threads hold pointers into it), its own calls bind to itself, and nothing binds lazily.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
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
}
