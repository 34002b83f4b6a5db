//! What makes input invalid, said by field.

use std::fmt;

use thiserror::Error;

/// One field that cannot be accepted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {message}")]
pub struct ValidationError {
    /// Path of the field, such as `variants[2].stock` or `price.minor`.
    pub field: String,
    /// What is wrong with it, for a person.
    pub message: String,
}

/// Everything that is wrong with one input: a client should not have to find out piecemeal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<ValidationError>);

impl ValidationError {
    /// `field` cannot be accepted because of `message`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Problems {
    /// Takes the value out of a checked one, or notes what is wrong with the field.
    pub fn check<T>(&mut self, field: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|message| self.0.push(ValidationError::new(field, message))).ok()
    }

    /// Notes a problem.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(ValidationError::new(field, message));
    }

    /// Succeeds with `value` if nothing is wrong, which every checked part being there implies.
    ///
    /// # Errors
    ///
    /// All problems noted so far.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
