//! Nothing of its own: building this crate with one feature compiles one rival allocator's C or
//! C++ code. The benchmark takes the archive (or the sources) from there and links a shared
//! library whose `malloc` is the rival's own, with no Rust in between.
