//! What the three roles may do: the owner everything, the application what it serves from, the relay
//! what the feed needs.

use larder_stack::testing::{TestDatabase, skip_without_servers};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::{empty, filled};

/// Postgres refused it for want of rights.
const REFUSED: &str = "42501";

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("Postgres answers")
}

/// Each statement is refused, and for that reason.
async fn refuses(role: &mut PgConnection, statements: &[&str]) {
    for statement in statements {
        let answer = role.execute(AssertSqlSafe(format!("BEGIN; {statement}"))).await;
        role.execute("ROLLBACK").await.expect("rolls back");
        let code = match &answer {
            Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
            _ => String::new(),
        };
        assert_eq!(code, REFUSED, "{statement}: {answer:?}");
    }
}

/// What the owner alone does.
const OWNERS: [&str; 16] = [
    "CREATE TABLE public.mine (id int)",
    "CREATE TABLE larder.mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE products ADD COLUMN mine int",
    "ALTER TABLE products DISABLE TRIGGER ALL",
    "ALTER TABLE larder.versions OWNER TO CURRENT_USER",
    "DROP TABLE products",
    "DROP TRIGGER \"larder_product-page_update\" ON products",
    "INSERT INTO larder.versions VALUES ('product-page', '1', 9, '1', now())",
    "UPDATE larder.versions SET version = 1",
    "DELETE FROM larder.versions",
    "UPDATE larder.epochs SET epoch = 1",
    "SELECT larder.track('products', 'mine', 'SELECT id::text FROM changed')",
    "SELECT larder.untrack('products', 'product-page')",
    "SELECT * FROM _sqlx_migrations",
];

#[tokio::test]
async fn the_applications_role_changes_no_schema_and_no_version() {
    if skip_without_servers("the_applications_role_changes_no_schema_and_no_version") {
        return;
    }
    let fixture = filled().await;
    let mut app = connect(&fixture.database.app_url).await;
    refuses(&mut app, &OWNERS).await;
    refuses(
        &mut app,
        &[
            "TRUNCATE products",
            "DELETE FROM api_keys",
            "UPDATE api_keys SET scopes = '{admin}'",
            "UPDATE categories SET name = 'mine'",
            "DELETE FROM larder.journal",
            "UPDATE larder.dead_letters SET operation = '{}'",
            "SELECT larder.begin_applying()",
            "SELECT larder.bump_locked('{}', '{}')",
            "SELECT larder.remember_feed('a', 'b', '1 s', 'c')",
            "SET ROLE larder_relay",
            "SET session_replication_role = replica",
            "COPY products TO PROGRAM 'cat'",
            "SELECT pg_read_file('postgresql.conf')",
        ],
    )
    .await;
    // What it writes, the triggers count.
    app.execute("UPDATE products SET price_minor = price_minor + 1 WHERE id = 1")
        .await
        .expect("the application writes products");
}

#[tokio::test]
async fn the_relays_role_reads_no_product_and_writes_nothing() {
    if skip_without_servers("the_relays_role_reads_no_product_and_writes_nothing") {
        return;
    }
    let fixture = filled().await;
    let mut relay = connect(&fixture.database.feed_url).await;
    refuses(&mut relay, &OWNERS).await;
    refuses(
        &mut relay,
        &[
            "SELECT * FROM products",
            "UPDATE products SET price_minor = 1",
            "SELECT * FROM reviews",
            "SELECT * FROM larder.versions",
            "SELECT changed_at FROM larder.epochs",
            "SELECT * FROM larder.journal",
            "SELECT * FROM larder.dead_letters",
            "SELECT larder.adopt_strategy('product-page', 'none')",
            "SELECT * FROM journal_take(1)",
            "SET ROLE larder_application",
        ],
    )
    .await;
    relay
        .execute("SELECT namespace, epoch FROM larder.epochs")
        .await
        .expect("epochs are the feed's");
    relay
        .execute("SELECT * FROM larder.feed_since((SELECT larder.open_feed('rights')), 1)")
        .await
        .expect("the feed is the relay's");
}

/// The rights that a group has, a line each: tables, columns, functions.
async fn rights(database: &TestDatabase, group: &str) -> Vec<String> {
    let mut admin = connect(&database.admin_url).await;
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT format('%s.%s: %s', table_schema, table_name, lower(privilege_type))
         FROM information_schema.role_table_grants WHERE grantee = $1
         UNION ALL
         SELECT format('%s.%s (%s): %s', c.table_schema, c.table_name, c.column_name, lower(c.privilege_type))
         FROM information_schema.role_column_grants c
         WHERE c.grantee = $1 AND NOT EXISTS (
             SELECT FROM information_schema.role_table_grants t
             WHERE (t.grantee, t.table_schema, t.table_name, t.privilege_type)
                 = (c.grantee, c.table_schema, c.table_name, c.privilege_type))
         UNION ALL
         SELECT format('%s.%s()', routine_schema, routine_name)
         FROM information_schema.role_routine_grants WHERE grantee = $1
         ORDER BY 1",
    )
    .bind(group)
    .fetch_all(&mut admin)
    .await
    .expect("the catalogue of rights is readable");
    rows.into_iter().map(|(right,)| right).collect()
}

/// Everybody's functions with their owner's rights, in this database.
async fn open_definers(database: &TestDatabase) -> Vec<String> {
    let mut admin = connect(&database.admin_url).await;
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT p.oid::regprocedure::text FROM pg_proc p
         JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname IN ('public', 'larder') AND p.prosecdef
           AND has_function_privilege('public', p.oid, 'EXECUTE')
         ORDER BY 1",
    )
    .fetch_all(&mut admin)
    .await
    .expect("the functions are readable");
    rows.into_iter().map(|(function,)| function).collect()
}

/// The functions of the application.
const APPLICATIONS: [&str; 21] = [
    "larder.adopt_strategy()",
    "larder.choose_strategy()",
    "larder.clear()",
    "larder.find_applied()",
    "larder.follow()",
    "larder.invalidate()",
    "larder.invalidate_tag()",
    "larder.last_position()",
    "larder.leave()",
    "larder.processes_of()",
    "larder.record_applied()",
    "larder.report_and_follow()",
    "larder.reports_of()",
    "public.deferred_apply()",
    "public.deferred_bases()",
    "public.deferred_take()",
    "public.journal_append()",
    "public.journal_apply()",
    "public.journal_fail()",
    "public.journal_take()",
    "public.product_lock()",
];

#[tokio::test]
async fn the_migrations_grant_this_and_no_more() {
    if skip_without_servers("the_migrations_grant_this_and_no_more") {
        return;
    }
    let fixture = empty().await;
    let database = &fixture.database;
    assert_eq!(
        rights(database, "larder_relay").await,
        [
            "larder.claim_feed()",
            "larder.clear()",
            "larder.epochs (epoch): select",
            "larder.epochs (namespace): select",
            "larder.feed_since()",
            "larder.follow()",
            "larder.leave()",
            "larder.open_feed()",
            "larder.processes_of()",
            "larder.remember_feed()",
            "larder.report_and_follow()",
            "larder.reports_of()",
            "larder.resign_feed()",
        ]
    );
    // What the application may change directly: its own tables, what became of a dead letter, and keys,
    // which it makes and revokes.
    let application = rights(database, "larder_application").await;
    let (direct, functions): (Vec<String>, Vec<String>) =
        application.into_iter().partition(|right| right.contains(": "));
    let changes: Vec<String> =
        direct.into_iter().filter(|right| !right.ends_with(": select")).collect();
    let own = ["products", "related_products", "reviews", "variants"];
    let own = own.iter().flat_map(|table| {
        ["delete", "insert", "update"].map(|right| format!("public.{table}: {right}"))
    });
    let letters = ["discarded_at", "replayed_as"]
        .map(|column| format!("larder.dead_letters ({column}): update"));
    let keys = ["public.api_keys (revoked_at): update", "public.api_keys: insert"];
    let all = letters.into_iter().chain(keys.map(str::to_owned)).chain(own);
    assert_eq!(changes, all.collect::<Vec<_>>());
    assert_eq!(functions, APPLICATIONS);
    assert_eq!(open_definers(database).await, Vec::<String>::new());
}
