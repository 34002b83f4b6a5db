-- Writes that were acknowledged outside of the database, and what is known of those that were applied.
--
-- Such a write has an id of its own. Applying it records the id, in one transaction, so that it is
-- applied once, however often it comes. It moves versions like any other write. What waits in
-- larder.journal for the same key comes first.

SET LOCAL lock_timeout = '5s';

-- Transactions that applied writes, with the versions that they made: who has read a value can tell
-- whether it shows them.
CREATE TABLE larder.flushes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flushed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    namespaces text[] NOT NULL,
    keys text[] NOT NULL,
    epochs integer[] NOT NULL,
    counters bigint[] NOT NULL
);
CREATE INDEX flushes_age ON larder.flushes (flushed_at);

-- The writes that they applied.
CREATE TABLE larder.applied (
    id bigint PRIMARY KEY,
    flush bigint NOT NULL REFERENCES larder.flushes ON DELETE CASCADE
);
CREATE INDEX applied_flush ON larder.applied (flush);
GRANT SELECT ON larder.flushes, larder.applied TO larder_application;

-- Records what the transaction has applied, with the versions that it has moved, which it returns; and
-- forgets, a few at a time, what was applied before `kept`.
CREATE FUNCTION larder.record_applied(ids bigint[], kept interval)
    RETURNS TABLE (namespace text, key text, epoch integer, counter bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    flush bigint;
BEGIN
    DELETE FROM larder.flushes f WHERE f.id IN (
        SELECT o.id FROM larder.flushes o WHERE o.flushed_at < clock_timestamp() - kept
        ORDER BY o.flushed_at LIMIT 10 FOR UPDATE SKIP LOCKED);
    INSERT INTO larder.flushes AS f (namespaces, keys, epochs, counters)
    SELECT coalesce(array_agg(v.namespace), '{}'), coalesce(array_agg(v.key), '{}'),
           coalesce(array_agg(e.epoch), '{}'), coalesce(array_agg(v.version), '{}')
    FROM larder.versions v JOIN larder.epochs e ON e.namespace = v.namespace
    WHERE v.txid = pg_current_xact_id()
    RETURNING f.id INTO flush;
    -- An id that is there already was applied meanwhile: this fails, and all of it is undone.
    INSERT INTO larder.applied (id, flush) SELECT i.id, flush FROM unnest(ids) AS i (id);
    RETURN QUERY
        SELECT m.namespace, m.key, m.epoch, m.counter
        FROM larder.flushes f
        CROSS JOIN LATERAL unnest(f.namespaces, f.keys, f.epochs, f.counters)
            AS m (namespace, key, epoch, counter)
        WHERE f.id = flush;
END
$$;

-- Which of `ids` were applied, and the version that this gave to a key; null: it did not touch it.
CREATE FUNCTION larder.find_applied(ids bigint[], in_namespace text, of_key text)
    RETURNS TABLE (id bigint, epoch integer, counter bigint)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.id, m.epoch, m.counter
    FROM larder.applied a JOIN larder.flushes f ON f.id = a.flush
    LEFT JOIN LATERAL unnest(f.namespaces, f.keys, f.epochs, f.counters)
        AS m (namespace, key, epoch, counter) ON m.namespace = in_namespace AND m.key = of_key
    WHERE a.id = ANY (ids)
$$;

-- What is there of products, with the versions of their pages, in one snapshot: a row for each key.
CREATE FUNCTION deferred_bases(keys text[])
    RETURNS TABLE (key text, standing jsonb, epoch integer, version bigint, now_us bigint)
    LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.key, public.journal_standing(k.key::bigint),
           coalesce((SELECT e.epoch FROM larder.epochs e WHERE e.namespace = 'product-page'), 0),
           coalesce((SELECT v.version FROM larder.versions v
                     WHERE v.namespace = 'product-page' AND v.key = k.key), 0),
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM unnest(keys) WITH ORDINALITY AS k (key, ordinal)
    ORDER BY k.ordinal
$$;

-- What writes of the products `taken` change, and of which of these.
CREATE FUNCTION deferred_touches(keys text[], operations jsonb[], taken text[])
    RETURNS TABLE (of_key text, namespace text, key text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.key, t.namespace, t.key
    FROM public.journal_touches(keys, operations) AS t
    JOIN unnest(keys) WITH ORDINALITY AS o (key, ordinal) ON o.ordinal = t.ordinal
    WHERE o.key = ANY (taken)
$$;

-- Locks the products of writes that nobody else works on, waiting for nobody, and returns a row for
-- each key: what is there of it, and which of the writes were applied before. A key for which something
-- waits in the journal is left for later.
CREATE FUNCTION deferred_take(ids bigint[], keys text[], operations jsonb[])
    RETURNS TABLE (key text, standing jsonb, applied bigint[])
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    wanted text[] := ARRAY(SELECT DISTINCT k.key FROM unnest(keys) AS k (key));
    taken text[];
    locked text[];
    busy text[];
BEGIN
    -- A process that is frozen between two statements would keep everybody from these products.
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    taken := public.journal_lock_free(wanted);
    -- A product that is not there, and never was, has no version to lock.
    taken := taken || ARRAY(
        SELECT w.key FROM unnest(wanted) AS w (key)
        WHERE NOT EXISTS (SELECT FROM public.products p WHERE p.id = w.key::bigint)
        AND NOT EXISTS (SELECT FROM larder.versions v
                        WHERE v.namespace = 'product-page' AND v.key = w.key));
    -- The triggers will bump these, and must not wait while they hold what others wait for. Of a product
    -- that somebody else has, nothing is locked: of two who have the same writes, one applies them.
    locked := ARRAY(
        SELECT v.namespace || ' ' || v.key FROM larder.versions v
        WHERE (v.namespace, v.key) IN (SELECT t.namespace, t.key
                                       FROM public.deferred_touches(keys, operations, taken) AS t)
        FOR UPDATE SKIP LOCKED);
    busy := ARRAY(
        SELECT DISTINCT t.of_key
        FROM public.deferred_touches(keys, operations, taken) AS t
        JOIN larder.versions v ON v.namespace = t.namespace AND v.key = t.key
        WHERE v.namespace || ' ' || v.key <> ALL (locked));
    -- In a new statement: what others did before they let go of the locks is seen.
    RETURN QUERY
        SELECT t.key, public.journal_standing(t.key::bigint),
               ARRAY(SELECT a.id FROM larder.applied a
                     WHERE a.id IN (SELECT i.id FROM unnest(ids, keys) AS i (id, key)
                                    WHERE i.key = t.key))
        FROM unnest(taken) AS t (key)
        WHERE t.key <> ALL (busy)
        AND NOT EXISTS (SELECT FROM larder.journal j WHERE j.key = t.key);
END
$$;

-- Applies changes; fails as a whole. A change is {"key", "price_minor", "currency", "updated_at",
-- "stock": {sku: pieces}}.
CREATE FUNCTION deferred_write(changes jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
BEGIN
    UPDATE public.products p
    SET price_minor = c.price_minor,
        currency = c.currency,
        updated_at = timestamptz 'epoch' + c.updated_at * interval '1 microsecond'
    FROM jsonb_to_recordset(changes)
        AS c (key bigint, price_minor bigint, currency text, updated_at bigint)
    WHERE p.id = c.key AND c.price_minor IS NOT NULL;
    UPDATE public.variants v
    SET stock = s.value::integer
    FROM jsonb_array_elements(changes) AS c CROSS JOIN LATERAL jsonb_each_text(c -> 'stock') AS s
    WHERE v.product_id = (c ->> 'key')::bigint AND v.sku = s.key;
END
$$;

-- The same for all of them but those that break a rule of the database, which it returns: what fails
-- is halved until the one at fault is alone.
CREATE FUNCTION deferred_apply(changes jsonb) RETURNS TABLE (key text, error text)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    count integer := jsonb_array_length(changes);
BEGIN
    IF count = 0 THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM public.deferred_write(changes);
        RETURN;
    EXCEPTION
        -- The same that journal_apply takes for the fault of a change.
        WHEN integrity_constraint_violation OR data_exception OR with_check_option_violation
            OR raise_exception
        THEN
            IF count = 1 THEN
                key := changes -> 0 ->> 'key';
                error := SQLERRM;
                RETURN NEXT;
                RETURN;
            END IF;
    END;
    RETURN QUERY
        SELECT a.* FROM (VALUES (0, count / 2), (count / 2, count)) AS half (first, beyond)
        CROSS JOIN LATERAL public.deferred_apply(
            (SELECT jsonb_agg(changes -> i) FROM generate_series(half.first, half.beyond - 1) AS i)) AS a;
END
$$;

REVOKE ALL ON FUNCTION
    larder.record_applied(bigint[], interval),
    larder.find_applied(bigint[], text, text),
    deferred_bases(text[]),
    deferred_touches(text[], jsonb[], text[]),
    deferred_take(bigint[], text[], jsonb[]),
    deferred_write(jsonb),
    deferred_apply(jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    larder.record_applied(bigint[], interval),
    larder.find_applied(bigint[], text, text),
    deferred_bases(text[]),
    deferred_take(bigint[], text[], jsonb[]),
    deferred_apply(jsonb)
TO larder_application;
