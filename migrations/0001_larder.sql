-- Larder's own schema: one monotonic version per cached key, bumped in the
-- transaction that changed the row, whoever made the change.
--
-- A version is (namespace epoch, counter). The counter is kept after a delete,
-- so that a key that comes back never gets an older version than it had.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'larder_application') THEN
        CREATE ROLE larder_application NOLOGIN;
    END IF;
EXCEPTION
    -- Roles belong to the whole server: another database's migration, running
    -- at the same moment, may have been first.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

CREATE SCHEMA larder;
GRANT USAGE ON SCHEMA larder TO larder_application;

CREATE TABLE larder.epochs (
    namespace text PRIMARY KEY,
    epoch integer NOT NULL DEFAULT 1 CHECK (epoch > 0),
    -- The strategy that processes last adopted; null before the first.
    strategy text,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON larder.epochs TO larder_application;

CREATE TABLE larder.versions (
    namespace text NOT NULL,
    key text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    -- The transaction of the last bump: a writer finds what it changed by it,
    -- and the change feed what it has not yet seen.
    txid xid8 NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, key)
) WITH (fillfactor = 80);
CREATE INDEX versions_txid ON larder.versions (txid);
GRANT SELECT ON larder.versions TO larder_application;

-- Statement-level trigger: TG_ARGV[0] is the namespace, TG_ARGV[1] the mapping,
-- a query that yields the keys (text) whose cached value contains a row of the
-- relation `changed`. Version rows are locked in key order, so two statements
-- that touch the same keys never wait for each other in a circle.
CREATE FUNCTION larder.bump() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed text := CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT * FROM new_rows'
        WHEN 'DELETE' THEN 'SELECT * FROM old_rows'
        ELSE 'SELECT * FROM old_rows UNION ALL SELECT * FROM new_rows'
    END;
BEGIN
    EXECUTE format(
        'WITH changed AS (%s)
         INSERT INTO larder.versions AS v (namespace, key, version, txid, changed_at)
         SELECT $1, k.key, 1, pg_current_xact_id(), clock_timestamp()
         FROM (SELECT DISTINCT m.key FROM (%s) AS m (key) WHERE m.key IS NOT NULL) AS k
         ORDER BY k.key
         ON CONFLICT (namespace, key) DO UPDATE
         SET version = v.version + 1, txid = excluded.txid, changed_at = excluded.changed_at',
        changed, TG_ARGV[1])
    USING TG_ARGV[0];
    RETURN NULL;
END
$$;

-- TRUNCATE names no rows: it is a barrier for the whole namespace.
CREATE FUNCTION larder.bump_epoch() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE larder.epochs SET epoch = epoch + 1, changed_at = clock_timestamp()
    WHERE namespace = TG_ARGV[0];
    RETURN NULL;
END
$$;

-- Registers a table: every committed change of its rows bumps the versions of
-- the keys that `mapping` names. The mapping is a query over the relation
-- `changed` (the rows before and after the change, in the table's columns) and
-- must write every other table with its schema. Several tables may feed one
-- namespace, and one table several namespaces; each pair has one mapping.
CREATE FUNCTION larder.track(tbl regclass, namespace text, mapping text) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    stem text := 'larder_' || namespace;
BEGIN
    IF namespace = '' OR length(namespace) > 40 THEN
        RAISE EXCEPTION 'larder.track: namespace must have 1 to 40 characters, got %', quote_literal(namespace);
    END IF;
    INSERT INTO larder.epochs (namespace) VALUES (track.namespace) ON CONFLICT DO NOTHING;
    PERFORM larder.untrack(tbl, namespace);
    EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump(%L, %L)',
                   stem || '_insert', tbl, namespace, mapping);
    EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump(%L, %L)',
                   stem || '_update', tbl, namespace, mapping);
    EXECUTE format('CREATE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump(%L, %L)',
                   stem || '_delete', tbl, namespace, mapping);
    EXECUTE format('CREATE TRIGGER %I AFTER TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump_epoch(%L)',
                   stem || '_truncate', tbl, namespace);
END
$$;

-- The inverse of larder.track. Versions and epoch stay: they must not go back
-- if the table is tracked again.
CREATE FUNCTION larder.untrack(tbl regclass, namespace text) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    suffix text;
BEGIN
    FOREACH suffix IN ARRAY ARRAY['_insert', '_update', '_delete', '_truncate'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', 'larder_' || namespace || suffix, tbl);
    END LOOP;
END
$$;

-- A process that begins to run `namespace` under `strategy` calls this and ignores every
-- entry of an older epoch than it answers. Under another strategy writes may not have been
-- invalidating, so a change of strategy is a barrier; adopting the same one again is not.
CREATE FUNCTION larder.adopt_strategy(namespace text, strategy text) RETURNS integer
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO larder.epochs AS e (namespace, strategy) VALUES ($1, $2)
    ON CONFLICT (namespace) DO UPDATE
    SET epoch = e.epoch + CASE WHEN e.strategy IS DISTINCT FROM excluded.strategy THEN 1 ELSE 0 END,
        strategy = excluded.strategy,
        changed_at = clock_timestamp()
    RETURNING epoch
$$;
REVOKE ALL ON FUNCTION larder.adopt_strategy(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION larder.adopt_strategy(text, text) TO larder_application;
