//! What counting a statement costs: one and the same, counted and not, on a real Postgres.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use larder_benches::fixtures::steady;
use larder_postgres::{Database, DatabaseOptions, Purpose, Statement};
use larder_stack::testing;
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Runtime;

const SQL: &str = "SELECT id, name FROM things WHERE id = $1";
const STATEMENT: Statement = Statement {
    namespace: "thing",
    purpose: Purpose::Load,
    operation: "SELECT",
    collection: "things",
};

fn executor(criterion: &mut Criterion) {
    if testing::skip_without_servers("executor") {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let postgres = runtime.block_on(testing::postgres());
    let database = runtime.block_on(postgres.database());
    let role = &database.app_role;
    runtime.block_on(database.execute(&format!(
        "CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL);
         INSERT INTO things SELECT n, 'thing ' || n FROM generate_series(1, 1000) n;
         ANALYZE things;
         GRANT SELECT ON things TO {role}"
    )));
    let options = DatabaseOptions { max_connections: 1, ..DatabaseOptions::new(&database.app_url) };
    // Its pool belongs to the runtime that it is made in.
    let counted = runtime.block_on(async { Database::new(&options) });
    let counted = counted.expect("the options are valid");
    // As the counted pool is: a connection that was just used is not tested first.
    let plain = runtime
        .block_on(
            PgPoolOptions::new()
                .max_connections(1)
                .test_before_acquire(false)
                .connect(&database.app_url),
        )
        .expect("the server answers");

    let mut group = criterion.benchmark_group("statement");
    let mut id = 0;
    let mut next = move || {
        id = id % 1_000 + 1;
        id
    };
    group.bench_function("plain sqlx", |b| {
        b.to_async(&runtime).iter(|| {
            let query = sqlx::query_as::<_, (i64, String)>(SQL).bind(next());
            let plain = &plain;
            async move { black_box(query.fetch_one(plain).await.expect("there is such a thing")) }
        });
    });
    group.bench_function("counted", |b| {
        b.to_async(&runtime).iter(|| {
            let query = sqlx::query_as::<_, (i64, String)>(SQL).bind(next());
            let executor = counted.counted(STATEMENT);
            async move { black_box(query.fetch_one(executor).await.expect("there is such a thing")) }
        });
    });
    group.finish();
    runtime.block_on(async {
        counted.close().await;
        plain.close().await;
    });
}

criterion_group! {
    name = benches;
    config = steady();
    targets = executor
}
criterion_main!(benches);
