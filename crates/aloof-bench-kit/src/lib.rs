//! What every benchmark worker needs and must not take from the allocator under test: a cheap
//! generator, tables in memory of their own, clocks and counters, and the one-line report that
//! the harness reads.

mod probe;
mod report;
mod rng;
mod table;

pub use probe::{Meter, Reading, resident_bytes};
pub use report::{fail, finish, finish_as};
pub use rng::Rng;
pub use table::{Table, table_bytes, table_peak_bytes};
