//! The program `aloof`, run as a user runs it.

mod arguments;
mod library;
mod passthrough;
mod refusals;
mod signals;
mod statistics;
mod support;
mod terminal;
mod watch;
mod watch_terminal;
