//! The allocator on an operating system that refuses.
