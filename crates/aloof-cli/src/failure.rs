//! Errors that carry their own exit status.

use std::fmt;
use std::process::ExitCode;

/// What a shell returns for a command it cannot find.
pub const NOT_FOUND: u8 = 127;
/// What a shell returns for a command it finds but cannot execute.
pub const NOT_EXECUTABLE: u8 = 126;
/// The program could be executed, but not on aloof; also the status of every other error of `aloof run` without one of its own.
pub const REFUSED: u8 = 1;
/// The command line makes no sense, or a tool or file that it needs is missing: as clap has it.
pub const MISUSED: u8 = 2;

/// A message for the user and the exit status that goes with it.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub fn not_found(message: impl Into<String>) -> Self {
        Self {
            code: NOT_FOUND,
            message: message.into(),
        }
    }

    pub fn not_executable(message: impl Into<String>) -> Self {
        Self {
            code: NOT_EXECUTABLE,
            message: message.into(),
        }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            code: REFUSED,
            message: message.into(),
        }
    }

    /// Puts a sentence in front of the message.
    pub fn after(self, sentence: &str) -> Self {
        Self {
            message: format!("{sentence} {}", self.message),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit status of an error: its own, or else this one.
pub fn exit_code(error: &anyhow::Error, otherwise: u8) -> ExitCode {
    ExitCode::from(
        error
            .downcast_ref::<Failure>()
            .map_or(otherwise, |failure| failure.code),
    )
}
