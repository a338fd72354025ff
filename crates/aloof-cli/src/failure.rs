//! Errors that carry their own exit status.

use std::fmt;
use std::process::ExitCode;

/// What a shell returns for a command it cannot find.
pub const NOT_FOUND: u8 = 127;
/// What a shell returns for a command it finds but cannot execute.
pub const NOT_EXECUTABLE: u8 = 126;
/// The program could be executed, but not on aloof; also the status of every error without one of its own.
pub const REFUSED: u8 = 1;

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

/// The exit status of an error.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(
        error
            .downcast_ref::<Failure>()
            .map_or(REFUSED, |failure| failure.code),
    )
}
