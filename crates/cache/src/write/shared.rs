//! A journal that several share is one.

use std::sync::Arc;

use super::journal::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled, Write,
    WriteState,
};
use super::options::Mode;

impl<J: Journal> Journal for Arc<J> {
    type Operation = J::Operation;
    type Refusal = J::Refusal;

    const MODE: Mode = J::MODE;

    async fn append(
        &self,
        writes: &[Write<J::Operation>],
    ) -> Result<Vec<Result<Journaled, J::Refusal>>, JournalError> {
        J::append(self, writes).await
    }

    async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        J::flush(self, options).await
    }

    async fn settle(&self, key: &str) -> Result<Flushed, JournalError> {
        J::settle(self, key).await
    }

    async fn state(&self) -> Result<JournalState, JournalError> {
        J::state(self).await
    }

    async fn find(&self, position: u64) -> Result<Option<WriteState>, JournalError> {
        J::find(self, position).await
    }

    async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, JournalError> {
        J::dead_letters(self, most).await
    }

    async fn dead_letter(&self, position: u64) -> Result<Option<DeadLetter>, JournalError> {
        J::dead_letter(self, position).await
    }

    async fn replay(&self, position: u64) -> Result<Option<Journaled>, JournalError> {
        J::replay(self, position).await
    }

    async fn discard(&self, position: u64) -> Result<bool, JournalError> {
        J::discard(self, position).await
    }
}
