-- The change feed: what was committed since it was last read, whoever wrote it.
--
-- A place in the feed is an identity and a snapshot, with a space between. What a reader has not
-- yet seen are the rows whose transaction is at or above that snapshot's xmax, or was then in
-- progress: so a late commit is never missed, nothing is read twice, and one long transaction
-- holds up its own keys alone.

-- For this migration: rather fail than make every load wait behind a long transaction.
SET LOCAL lock_timeout = '5s';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'larder_relay') THEN
        CREATE ROLE larder_relay NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- The transaction that last moved the epoch.
ALTER TABLE larder.epochs ADD COLUMN txid xid8 NOT NULL DEFAULT pg_current_xact_id();

-- The feed reads each namespace by itself, so that it can stop counting at its limit however
-- many rows a bulk has changed: namespace first.
DROP INDEX larder.versions_txid;
CREATE INDEX versions_feed ON larder.versions (namespace, txid);

-- Tells a listening relay that something is about to be committed. NOTIFY takes a lock that the
-- whole server shares, until its transaction has committed; connections that publish their
-- changes themselves do without it (larder.doorbell = off).
CREATE FUNCTION larder.ring() RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    IF current_setting('larder.doorbell', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('larder_feed', '');
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION larder.bump() RETURNS trigger
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
    bumped bigint;
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
    GET DIAGNOSTICS bumped = ROW_COUNT;
    IF bumped > 0 THEN
        PERFORM larder.ring();
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION larder.bump_epoch() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE larder.epochs
    SET epoch = epoch + 1, txid = pg_current_xact_id(), changed_at = clock_timestamp()
    WHERE namespace = TG_ARGV[0];
    PERFORM larder.ring();
    RETURN NULL;
END
$$;

-- As before, and it marks the transaction that moved the epoch.
CREATE OR REPLACE FUNCTION larder.adopt_strategy(namespace text, strategy text) RETURNS integer
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    adopted larder.epochs;
BEGIN
    INSERT INTO larder.epochs AS e (namespace, strategy) VALUES ($1, $2)
    ON CONFLICT (namespace) DO UPDATE
    SET epoch = e.epoch + CASE WHEN e.strategy IS DISTINCT FROM excluded.strategy THEN 1 ELSE 0 END,
        txid = CASE WHEN e.strategy IS DISTINCT FROM excluded.strategy THEN excluded.txid ELSE e.txid END,
        strategy = excluded.strategy,
        changed_at = clock_timestamp()
    RETURNING e.* INTO adopted;
    IF adopted.txid = pg_current_xact_id() THEN
        PERFORM larder.ring();
    END IF;
    RETURN adopted.epoch;
END
$$;

-- Moves epochs past whatever they can have been before: all of them, or those of `namespaces`.
-- After a restore or a promotion the table may hold an older epoch than caches have seen, and a
-- step of one could meet an epoch that was given before. Epochs move far less than once a second,
-- so the seconds since 2020 are beyond all of them.
CREATE FUNCTION larder.move_epochs(namespaces text[]) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    -- In the order in which the triggers of a TRUNCATE fire.
    PERFORM FROM larder.epochs e WHERE namespaces IS NULL OR e.namespace = ANY (namespaces)
        ORDER BY (e.namespace || '_') COLLATE "C" FOR UPDATE;
    UPDATE larder.epochs e
    SET epoch = greatest(
            e.epoch + 1,
            (extract(epoch FROM clock_timestamp())
                - extract(epoch FROM timestamptz '2020-01-01 00:00:00+00'))::integer),
        txid = pg_current_xact_id(),
        changed_at = clock_timestamp()
    WHERE namespaces IS NULL OR e.namespace = ANY (namespaces);
    PERFORM larder.ring();
END
$$;

-- Makes all that is cached of a namespace old. For after something has changed rows behind the
-- triggers' backs: a restore of single tables, session_replication_role = replica, a partition
-- attached. Returns the new epoch.
CREATE FUNCTION larder.clear(namespace text) RETURNS integer
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved integer;
BEGIN
    PERFORM larder.move_epochs(ARRAY[clear.namespace]);
    SELECT e.epoch INTO moved FROM larder.epochs e WHERE e.namespace = clear.namespace;
    IF moved IS NULL THEN
        RAISE EXCEPTION 'larder.clear: there is no namespace %', quote_nullable(clear.namespace);
    END IF;
    RETURN moved;
END
$$;

-- Locks a table in `mode` or gives up after lock_timeout (a second where none is set): whoever
-- waits for this lock makes every writer wait behind himself.
CREATE FUNCTION larder.lock_table(tbl regclass, mode text, purpose text) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    timeout text := current_setting('lock_timeout');
    patience text := CASE timeout WHEN '0' THEN '1s' ELSE timeout END;
BEGIN
    PERFORM set_config('lock_timeout', patience, true);
    EXECUTE format('LOCK TABLE ONLY %s IN %s MODE', tbl, mode);
    PERFORM set_config('lock_timeout', timeout, true);
EXCEPTION
    WHEN lock_not_available THEN
        RAISE EXCEPTION '%: % is in use by another transaction for longer than %, nothing was changed',
            purpose, tbl, patience
        USING ERRCODE = 'lock_not_available',
              HINT = 'Try again when that transaction has ended (see pg_stat_activity), or raise lock_timeout.';
END
$$;

-- As before, and safe on a table that is in use. It takes the lock that CREATE TRIGGER takes:
-- it waits for transactions that have written, lets readers go on, and keeps writers out for
-- the moment until its own transaction ends. A key without a row has version 0, so there is
-- nothing to fill in. What was committed before was never versioned, or by another mapping: the
-- epoch moves, and all that is cached of the namespace becomes old.
CREATE OR REPLACE FUNCTION larder.track(tbl regclass, namespace text, mapping text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stem text := 'larder_' || namespace;
BEGIN
    IF namespace = '' OR length(namespace) > 40 THEN
        RAISE EXCEPTION 'larder.track: namespace must have 1 to 40 characters, got %', quote_literal(namespace);
    END IF;
    -- Before the epoch's row is locked: TRUNCATE takes the two in this order.
    PERFORM larder.lock_table(tbl, 'SHARE ROW EXCLUSIVE', 'larder.track');
    -- A mapping that cannot be planned fails here, not in every write from now on.
    EXECUTE format('EXPLAIN WITH changed AS (SELECT * FROM %s)
                    SELECT DISTINCT m.key::text FROM (%s) AS m (key)', tbl, mapping);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump(%L, %L)',
                   stem || '_insert', tbl, namespace, mapping);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump(%L, %L)',
                   stem || '_update', tbl, namespace, mapping);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump(%L, %L)',
                   stem || '_delete', tbl, namespace, mapping);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION larder.bump_epoch(%L)',
                   stem || '_truncate', tbl, namespace);
    INSERT INTO larder.epochs AS e (namespace) VALUES (track.namespace)
    ON CONFLICT ON CONSTRAINT epochs_pkey DO UPDATE
    SET epoch = e.epoch + 1, txid = excluded.txid, changed_at = clock_timestamp();
    PERFORM larder.ring();
END
$$;

-- The inverse of larder.track. Versions stay: they must not go back if the table is tracked
-- again. Nothing invalidates what this table feeds from now on, so the epoch moves, once: what is
-- loaded afterwards may become stale until its TTL. DROP TRIGGER keeps readers out as well.
CREATE OR REPLACE FUNCTION larder.untrack(tbl regclass, namespace text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names text[] := ARRAY(
        SELECT t.tgname FROM pg_trigger t
        WHERE t.tgrelid = tbl
        AND t.tgname IN (SELECT 'larder_' || namespace || suffix
                         FROM unnest(ARRAY['_insert', '_update', '_delete', '_truncate']) AS suffix));
    name text;
BEGIN
    IF names = '{}' THEN
        RETURN;
    END IF;
    PERFORM larder.lock_table(tbl, 'ACCESS EXCLUSIVE', 'larder.untrack');
    FOREACH name IN ARRAY names LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', name, tbl);
    END LOOP;
    UPDATE larder.epochs e
    SET epoch = e.epoch + 1, txid = pg_current_xact_id(), changed_at = clock_timestamp()
    WHERE e.namespace = untrack.namespace;
    PERFORM larder.ring();
END
$$;

-- One row for each environment or region that relays changes to its caches.
CREATE TABLE larder.feeds (
    name text PRIMARY KEY CHECK (name <> ''),
    -- What has been relayed: where the next relay goes on.
    place text NOT NULL,
    -- Who relays, and from when until when nobody else may, by this server's clock. The right is
    -- a row, not a lock of a session: see docs/adr/0006-relay-lease-row.md.
    holder text,
    held_from timestamptz,
    held_until timestamptz
) WITH (fillfactor = 50);

-- Which history this database belongs to. Transaction ids, versions and epochs are comparable
-- within one only: a promoted replica may have lost the last of them (another timeline), and a
-- restored dump goes back to older ones (another system, database or table). The timeline comes
-- from the log's position, because the control file names that of the last checkpoint, which may
-- be minutes older than a promotion. On a replica it is an error: a feed is read from the primary.
CREATE FUNCTION larder.history() RETURNS text
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN concat_ws('.',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        'larder.versions'::regclass::oid);
END
$$;

-- Makes the feed `name` where it is missing, and returns its place. From a new feed nothing has
-- been relayed, and from one of another history nothing that can be compared: all epochs move,
-- and the feed goes on from here. Otherwise it changes nothing.
CREATE FUNCTION larder.open_feed(name text) RETURNS text
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    history text := larder.history();
    -- Taken first, and from its xmin on: an earlier place tells some changes twice, a later one
    -- might miss the epochs that this transaction moves.
    start text := pg_snapshot_xmin(pg_current_snapshot());
    here text := history || ' ' || start || ':' || start || ':';
    known text;
BEGIN
    SELECT f.place INTO known FROM larder.feeds f WHERE f.name = open_feed.name;
    IF split_part(known, ' ', 1) = history THEN
        RETURN known;
    END IF;
    INSERT INTO larder.feeds (name, place) VALUES (open_feed.name, here) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT f.place INTO known FROM larder.feeds f WHERE f.name = open_feed.name FOR UPDATE;
        IF split_part(known, ' ', 1) = history THEN
            -- Another process was first.
            RETURN known;
        END IF;
        UPDATE larder.feeds f SET place = here WHERE f.name = open_feed.name;
    END IF;
    PERFORM larder.move_epochs(NULL);
    RETURN here;
END
$$;

-- The right to relay `name` for as long as `lease`: its place, or null while another has it.
CREATE FUNCTION larder.claim_feed(name text, holder text, lease interval) RETURNS text
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place text;
BEGIN
    PERFORM larder.open_feed(claim_feed.name);
    -- A lease from the future is none: the clock has gone back.
    UPDATE larder.feeds f
    SET holder = claim_feed.holder,
        held_from = clock_timestamp(),
        held_until = clock_timestamp() + lease
    WHERE f.name = claim_feed.name
    AND (f.holder = claim_feed.holder
        OR f.holder IS NULL
        OR clock_timestamp() NOT BETWEEN f.held_from AND f.held_until)
    RETURNING f.place INTO place;
    RETURN place;
END
$$;

-- Writes down a place and renews the lease; false, and nothing is written, when another process
-- has taken the right, or the place is of another history.
CREATE FUNCTION larder.remember_feed(name text, holder text, lease interval, place text) RETURNS boolean
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A place that a crash forgets is read on from an earlier one: no need to wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE larder.feeds f
    SET place = remember_feed.place,
        held_from = clock_timestamp(),
        held_until = clock_timestamp() + lease
    WHERE f.name = remember_feed.name
    AND f.holder = remember_feed.holder
    AND split_part(remember_feed.place, ' ', 1) = larder.history();
    RETURN FOUND;
END
$$;

-- Gives the right back before the lease ends.
CREATE FUNCTION larder.resign_feed(name text, holder text) RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE larder.feeds f SET holder = NULL WHERE f.name = $1 AND f.holder = $2
$$;

-- What was committed since `place`: a row for each namespace of which something changed, and one
-- without a namespace, whose place is the next. No row at all: the place is of another history.
-- A namespace with more than `most` changed keys is overflown, and its keys stay here.
--
-- STABLE, so that all of it sees the caller's snapshot, which is the next place. The settings keep
-- a cached plan from reading the whole table when it cannot know how little is new.
CREATE FUNCTION larder.feed_since(place text, most integer)
    RETURNS TABLE (
        next_place text,
        namespace text,
        epoch integer,
        epoch_moved boolean,
        overflown boolean,
        keys text[],
        counters bigint[]
    )
    LANGUAGE plpgsql STABLE
    SECURITY DEFINER
    ROWS 10
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
DECLARE
    history text := larder.history();
    now pg_snapshot := pg_current_snapshot();
    seen pg_snapshot;
    first xid8;
    -- Nothing that this snapshot sees is at or above it, but for rows of another history, restored
    -- from where transaction ids were larger.
    beyond xid8 := pg_snapshot_xmax(now);
    late xid8[];
BEGIN
    IF split_part(place, ' ', 1) <> history THEN
        RETURN;
    END IF;
    seen := split_part(place, ' ', 2);
    first := pg_snapshot_xmax(seen);
    late := ARRAY(SELECT pg_snapshot_xip(seen));
    next_place := history || ' ' || now;
    RETURN NEXT;
    RETURN QUERY
        SELECT NULL, e.namespace, e.epoch, m.moved, c.changed > most,
            CASE WHEN c.changed <= most THEN c.keys END,
            CASE WHEN c.changed <= most THEN c.counters END
        FROM larder.epochs e
        CROSS JOIN LATERAL (
            SELECT (e.txid >= first AND e.txid < beyond) OR e.txid = ANY (late)
        ) AS m (moved)
        CROSS JOIN LATERAL (
            SELECT count(*), array_agg(r.key), array_agg(r.version)
            FROM (
                SELECT v.key, v.version FROM larder.versions v
                WHERE v.namespace = e.namespace AND v.txid >= first AND v.txid < beyond
                UNION ALL
                SELECT v.key, v.version FROM larder.versions v
                WHERE v.namespace = e.namespace AND v.txid = ANY (late)
                LIMIT most + 1
            ) AS r
        ) AS c (changed, keys, counters)
        WHERE m.moved OR c.changed > 0;
END
$$;

-- Functions are everybody's unless they are taken away. Whoever may use larder.bump in a trigger of
-- his own could have any mapping run with its owner's rights.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA larder FROM PUBLIC;
GRANT USAGE ON SCHEMA larder TO larder_relay;
GRANT SELECT (namespace, epoch) ON larder.epochs TO larder_relay;
GRANT EXECUTE ON FUNCTION
    larder.open_feed(text),
    larder.claim_feed(text, text, interval),
    larder.remember_feed(text, text, interval, text),
    larder.resign_feed(text, text),
    larder.feed_since(text, integer),
    larder.clear(text)
TO larder_relay;
