//! The one executor that statements go through.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgQueryResult, PgRow, PgTypeInfo};
use sqlx::{Either, Execute, Executor, Postgres, SqlStr};
use tracing::Span;

use crate::ledger::{Account, Ledger, Outcome};
use crate::statement::Statement;

/// An executor that counts what is sent through it and how each statement ended.
///
/// It counts at the start, so that nothing that was sent goes uncounted, and
/// settles when Postgres says the statement is complete, when it says that it
/// failed, or when the answer can no longer arrive.
pub struct Counted<E> {
    inner: E,
    statement: Statement,
    ledger: Arc<Ledger>,
}

/// Settles one account exactly once, at the latest when dropped.
struct Receipt {
    ledger: Arc<Ledger>,
    account: Arc<Account>,
    statement: Statement,
    started: Instant,
    open: bool,
}

/// The answer of a statement, watched on its way to the caller.
struct CountedStream<'e> {
    inner: BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>,
    receipt: Receipt,
    span: Span,
}

impl<E> Counted<E> {
    pub(crate) fn new(inner: E, statement: Statement, ledger: Arc<Ledger>) -> Self {
        Self { inner, statement, ledger }
    }
}

impl<E> fmt::Debug for Counted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("statement", &self.statement).finish_non_exhaustive()
    }
}

impl Receipt {
    fn open(ledger: Arc<Ledger>, statement: Statement) -> Self {
        let account = ledger.account(statement);
        account.start();
        Self { ledger, account, statement, started: Instant::now(), open: true }
    }

    fn another(&self) -> Self {
        Self::open(Arc::clone(&self.ledger), self.statement)
    }

    fn settle(&mut self, outcome: Outcome) {
        if std::mem::take(&mut self.open) {
            self.account.settle(outcome);
            self.ledger.observe(self.statement, outcome, self.started.elapsed());
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(Outcome::Unknown);
    }
}

impl Stream for CountedStream<'_> {
    type Item = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let _entered = this.span.enter();
        let polled = this.inner.as_mut().poll_next(context);
        match &polled {
            // CommandComplete: Postgres has finished the statement and counted it. What may
            // still follow is the end of an implicit transaction, which is not a statement.
            Poll::Ready(Some(Ok(Either::Left(_)))) => {
                if !this.receipt.open {
                    // A further statement of the same text (the simple protocol allows that).
                    this.receipt = this.receipt.another();
                }
                this.receipt.settle(Outcome::Completed);
            }
            Poll::Ready(None) => this.receipt.settle(Outcome::Completed),
            Poll::Ready(Some(Err(error))) => this.receipt.settle(outcome_of(error)),
            Poll::Ready(Some(Ok(Either::Right(_)))) | Poll::Pending => {}
        }
        polled
    }
}

/// Whether Postgres can have finished a statement that ended in `error`.
fn outcome_of(error: &sqlx::Error) -> Outcome {
    match error {
        // It read the statement and refused it, or told us why it hung up.
        sqlx::Error::Database(_)
        // It never left this process.
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Configuration(_)
        | sqlx::Error::InvalidArgument(_)
        | sqlx::Error::Encode(_) => Outcome::Failed,
        // The line went dead, or said something that makes no sense. A failed attempt to
        // connect looks the same, and is counted as unknown: the wider bound is still true.
        _ => Outcome::Unknown,
    }
}

impl<'c, E> Executor<'c> for Counted<E>
where
    E: Executor<'c, Database = Postgres>,
{
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, Q>(
        self,
        query: Q,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, Postgres>,
    {
        let statement = self.statement;
        let span = tracing::debug_span!(
            "db.query",
            otel.name = %format_args!("{} {}", statement.operation, statement.collection),
            otel.kind = "client",
            db.system.name = "postgresql",
            db.operation.name = statement.operation,
            db.collection.name = statement.collection,
            larder.namespace = statement.namespace,
            larder.purpose = statement.purpose.as_str(),
        );
        Box::pin(CountedStream {
            inner: self.inner.fetch_many(query),
            receipt: Receipt::open(self.ledger, statement),
            span,
        })
    }

    fn fetch_optional<'e, 'q: 'e, Q>(
        self,
        query: Q,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        Q: 'q + Execute<'q, Postgres>,
    {
        let mut answer = self.fetch_many(query);
        Box::pin(async move {
            // Read to the end, as the driver itself does: a statement can fail after its
            // first row, and a deferred constraint after its last.
            let mut first = None;
            while let Some(step) = answer.try_next().await? {
                if let Either::Right(row) = step {
                    first.get_or_insert(row);
                }
            }
            Ok(first)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<<Postgres as sqlx::Database>::Statement, sqlx::Error>>
    where
        'c: 'e,
    {
        // Preparing runs nothing: Postgres does not count it, nor do we.
        self.inner.prepare_with(sql, parameters)
    }

    fn describe<'e>(
        self,
        sql: SqlStr,
    ) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.inner.describe(sql)
    }
}
