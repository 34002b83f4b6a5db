-- The catalogue's side of the journal: what operations change, when they are refused, and how they
-- are applied. A key is a product's id. An operation is {"price": {"minor", "currency"}} or
-- {"set": {sku: pieces}, "add": {sku: pieces}}.

-- The keys that each of `operations` changes, by its ordinal: the same that the tables' triggers would
-- bump.
CREATE FUNCTION journal_touches(keys text[], operations jsonb[])
    RETURNS TABLE (ordinal bigint, namespace text, key text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH w AS (
        SELECT u.key, u.operation ? 'price' AS price, u.ordinal
        FROM unnest(keys, operations) WITH ORDINALITY AS u (key, operation, ordinal)
    )
    SELECT w.ordinal, 'product-page', w.key FROM w
    UNION
    SELECT w.ordinal, 'product-page', r.product_id::text
    FROM w JOIN public.related_products r ON r.related_id = w.key::bigint
    WHERE w.price
    UNION
    SELECT w.ordinal, 'product-summary', w.key FROM w WHERE w.price
$$;

-- Appends writes in their order, each taken or refused on its own, and returns a row for each: its
-- position and the keys that it changes with their new versions, or why it is refused: 'absent', or
-- 'variant' or 'stock' with the list and SKU at fault.
--
-- The rule is that of catalog_domain::Standing::apply. It is here as well because an answer that takes
-- a second round trip would hold the locks for it.
CREATE FUNCTION journal_append(keys text[], operations jsonb[])
    RETURNS TABLE (
        ordinal integer,
        "position" bigint,
        refusal text,
        list text,
        sku text,
        namespaces text[],
        changed text[],
        epochs integer[],
        counters bigint[]
    )
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    count integer := cardinality(keys);
    touches integer[];
    in_namespaces text[];
    touched text[];
    stocked text[];
    names text[];
    stocks bigint[];
    step record;
    place integer;
    after bigint;
    refusals text[] := array_fill(NULL::text, ARRAY[greatest(count, 1)]);
    lists text[] := refusals;
    skus text[] := refusals;
    places bigint[];
    moment timestamptz;
BEGIN
    -- Who begins to show a product whose price changes would be told of the link, but not of the
    -- change: so links wait (see 0004). It is the lock of a foreign key: updates do not wait for it.
    PERFORM FROM public.products p
    WHERE p.id IN (SELECT u.key::bigint FROM unnest(keys, operations) AS u (key, operation)
                   WHERE u.operation ? 'price')
    ORDER BY p.id FOR KEY SHARE;
    SELECT array_agg(t.ordinal), array_agg(t.namespace), array_agg(t.key)
    INTO touches, in_namespaces, touched
    FROM public.journal_touches(keys, operations) AS t
    WHERE EXISTS (SELECT FROM public.products p WHERE p.id = keys[t.ordinal]::bigint);
    PERFORM larder.lock_versions(in_namespaces, touched);

    -- From here on statements see all that others have done to these keys.
    moment := clock_timestamp();
    FOR step IN
        SELECT u.ordinal FROM unnest(keys) WITH ORDINALITY AS u (key, ordinal)
        WHERE u.ordinal <> ALL (coalesce(touches, '{}'))
        OR NOT EXISTS (SELECT FROM public.products p WHERE p.id = u.key::bigint)
    LOOP
        refusals[step.ordinal] := 'absent';
    END LOOP;
    stocked := ARRAY(SELECT DISTINCT u.key FROM unnest(keys, operations) AS u (key, operation)
                     WHERE NOT u.operation ? 'price');
    SELECT array_agg(v.product_id || ' ' || v.sku ORDER BY v.product_id, v.sku),
           array_agg(v.stock ORDER BY v.product_id, v.sku)
    INTO names, stocks
    FROM public.variants v WHERE v.product_id = ANY (stocked::bigint[]);
    -- What is pending first, then the new ones: each is done whole or not at all.
    FOR step IN
        WITH entry AS (
            SELECT j.key, j.operation, j.position, NULL::integer AS ordinal
            FROM larder.journal j WHERE j.key = ANY (stocked)
            UNION ALL
            SELECT u.key, u.operation, NULL, u.ordinal
            FROM unnest(keys, operations) WITH ORDINALITY AS u (key, operation, ordinal)
        ), change AS (
            SELECT e.position, e.ordinal, c.list, c.sku, c.pieces, n.place
            FROM entry e
            CROSS JOIN LATERAL (
                SELECT 'stock', s.key, s.value::bigint FROM jsonb_each_text(e.operation -> 'set') AS s
                UNION ALL
                SELECT 'stock_delta', a.key, a.value::bigint FROM jsonb_each_text(e.operation -> 'add') AS a
            ) AS c (list, sku, pieces)
            LEFT JOIN unnest(names) WITH ORDINALITY AS n (name, place) ON n.name = e.key || ' ' || c.sku
        )
        SELECT c.position, c.ordinal, array_agg(c.list) AS lists, array_agg(c.sku) AS skus,
               array_agg(c.pieces) AS pieces, array_agg(c.place) AS places
        FROM change c GROUP BY c.position, c.ordinal
        ORDER BY c.position NULLS LAST, c.ordinal
    LOOP
        CONTINUE WHEN refusals[step.ordinal] IS NOT NULL;
        FOR i IN 1 .. cardinality(step.places) LOOP
            place := step.places[i];
            after := step.pieces[i] + CASE step.lists[i] WHEN 'stock' THEN 0 ELSE stocks[place] END;
            IF place IS NULL OR after NOT BETWEEN 0 AND 1000000000 THEN
                -- Nothing of an entry that cannot be done; a pending one is somebody else's to tell.
                step.places := '{}';
                IF step.ordinal IS NOT NULL THEN
                    refusals[step.ordinal] := CASE WHEN place IS NULL THEN 'variant' ELSE 'stock' END;
                    lists[step.ordinal] := step.lists[i];
                    skus[step.ordinal] := step.skus[i];
                END IF;
                EXIT;
            END IF;
            step.pieces[i] := after;
        END LOOP;
        FOR i IN 1 .. cardinality(step.places) LOOP
            stocks[step.places[i]] := step.pieces[i];
        END LOOP;
    END LOOP;

    places := ARRAY(SELECT nextval('larder.journal_position_seq') FROM generate_series(1, count));
    INSERT INTO larder.journal (position, key, operation, appended_at)
    SELECT u.position, u.key, u.operation, moment
    FROM unnest(places, keys, operations, refusals) AS u (position, key, operation, refusal)
    WHERE u.refusal IS NULL;
    IF NOT FOUND THEN
        touches := '{}';
        in_namespaces := '{}';
        touched := '{}';
    ELSE
        SELECT array_agg(t.ordinal), array_agg(t.namespace), array_agg(t.key)
        INTO touches, in_namespaces, touched
        FROM unnest(touches, in_namespaces, touched) AS t (ordinal, namespace, key)
        WHERE refusals[t.ordinal] IS NULL;
        PERFORM larder.bump_locked(in_namespaces, touched);
    END IF;
    RETURN QUERY
        SELECT w.ordinal::integer,
               CASE WHEN w.refusal IS NULL THEN w.position END,
               w.refusal, lists[w.ordinal], skus[w.ordinal],
               c.namespaces, c.keys, c.epochs, c.counters
        FROM unnest(places, refusals[:count]) WITH ORDINALITY AS w (position, refusal, ordinal)
        LEFT JOIN (
            SELECT t.ordinal, array_agg(t.namespace) AS namespaces, array_agg(t.key) AS keys,
                   array_agg(e.epoch) AS epochs, array_agg(v.version) AS counters
            FROM unnest(touches, in_namespaces, touched) AS t (ordinal, namespace, key)
            JOIN larder.versions v ON v.namespace = t.namespace AND v.key = t.key
            JOIN larder.epochs e ON e.namespace = t.namespace
            GROUP BY t.ordinal
        ) AS c ON c.ordinal = w.ordinal
        ORDER BY w.ordinal;
END
$$;

-- What operations change of a product; null where there is no such product.
CREATE FUNCTION journal_standing(id bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'price_minor', p.price_minor,
        'currency', p.currency,
        'updated_at', (extract(epoch FROM p.updated_at) * 1000000)::bigint,
        'stock', (SELECT coalesce(jsonb_object_agg(v.sku, v.stock), '{}')
                  FROM public.variants v WHERE v.product_id = p.id))
    FROM public.products p WHERE p.id = journal_standing.id
$$;

-- The keys of `keys` whose rows nobody else has locked, and locks them. It waits for nobody, so it
-- is in no circle of those who wait, in whatever order it locks.
CREATE FUNCTION journal_lock_free(keys text[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
DECLARE
    ids bigint[] := keys::bigint[];
    locked bigint[];
    variants bigint[];
BEGIN
    locked := ARRAY(SELECT p.id FROM public.products p WHERE p.id = ANY (ids)
                    FOR NO KEY UPDATE SKIP LOCKED);
    variants := ARRAY(SELECT v.product_id FROM public.variants v WHERE v.product_id = ANY (locked)
                      FOR NO KEY UPDATE SKIP LOCKED);
    -- A product that is not there has nothing to lock but its version.
    ids := ARRAY(
        SELECT i.id FROM unnest(ids) AS i (id)
        WHERE (i.id = ANY (locked) OR NOT EXISTS (SELECT FROM public.products p WHERE p.id = i.id))
        AND (SELECT count(*) FROM public.variants v WHERE v.product_id = i.id)
            = (SELECT count(*) FROM unnest(variants) AS l (id) WHERE l.id = i.id));
    RETURN ARRAY(SELECT v.key FROM larder.versions v
                 WHERE v.namespace = 'product-page' AND v.key = ANY (ids::text[])
                 ORDER BY v.key FOR UPDATE SKIP LOCKED);
END
$$;

-- Takes the oldest entries, at most `entries`, of products that nobody else works on, and locks
-- these: a row for each product, with all of its entries that are within the limit, in order.
CREATE FUNCTION journal_take(entries integer)
    RETURNS TABLE (key text, standing jsonb, positions bigint[], operations jsonb[], times bigint[])
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    after bigint := 0;
    found bigint;
    wanted text[];
    taken text[];
BEGIN
    -- A process that is frozen between two statements would keep everybody from these products.
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    LOOP
        SELECT count(*), max(w.position), array_agg(DISTINCT w.key) INTO found, after, wanted
        FROM (
            SELECT j.position, j.key FROM larder.journal j
            WHERE j.position > after
            AND NOT EXISTS (SELECT FROM larder.journal b
                            WHERE b.key = j.key AND b.next_attempt_at > clock_timestamp())
            ORDER BY j.position LIMIT entries
        ) AS w;
        EXIT WHEN found = 0;
        taken := public.journal_lock_free(wanted);
        EXIT WHEN taken <> '{}' OR found < entries;
    END LOOP;
    -- In a new statement: what others applied before they let go of the locks is gone.
    RETURN QUERY
        SELECT e.key, public.journal_standing(e.key::bigint),
               array_agg(e.position ORDER BY e.position),
               array_agg(e.operation ORDER BY e.position),
               array_agg((extract(epoch FROM e.appended_at) * 1000000)::bigint ORDER BY e.position)
        FROM (SELECT * FROM larder.journal j WHERE j.key = ANY (taken)
              ORDER BY j.position LIMIT entries) AS e
        GROUP BY e.key;
END
$$;

-- Locks a product for a write that is applied at once, and returns what is pending for it, which
-- must be applied first. `wide`: the write changes more than stock. `gone`: it deletes.
CREATE FUNCTION product_lock(id bigint, wide boolean, gone boolean)
    RETURNS TABLE (
        found boolean,
        epoch integer,
        version bigint,
        standing jsonb,
        positions bigint[],
        operations jsonb[],
        times bigint[]
    )
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    page text := product_lock.id::text;
BEGIN
    IF gone THEN
        PERFORM FROM public.products p WHERE p.id = product_lock.id FOR UPDATE;
    ELSE
        PERFORM FROM public.products p WHERE p.id = product_lock.id FOR NO KEY UPDATE;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM FROM public.variants v WHERE v.product_id = product_lock.id ORDER BY v.sku FOR NO KEY UPDATE;
    IF wide THEN
        PERFORM larder.lock_versions(array_agg(t.namespace), array_agg(t.key))
        FROM public.journal_touches(ARRAY[page], ARRAY['{"price": null}'::jsonb]) AS t;
    ELSE
        PERFORM FROM larder.versions v WHERE v.namespace = 'product-page' AND v.key = page FOR UPDATE;
        IF NOT FOUND THEN
            PERFORM larder.lock_versions(ARRAY['product-page'], ARRAY[page]);
        END IF;
    END IF;
    -- In a new statement: what was appended while this one waited is seen.
    RETURN QUERY
        SELECT true,
               (SELECT e.epoch FROM larder.epochs e WHERE e.namespace = 'product-page'),
               -- A version that was made to have something to lock is none.
               (SELECT CASE WHEN v.version = 1 AND v.txid = pg_current_xact_id() THEN 0 ELSE v.version END
                FROM larder.versions v WHERE v.namespace = 'product-page' AND v.key = page),
               CASE WHEN p.positions IS NOT NULL THEN public.journal_standing(product_lock.id) END,
               p.positions, p.operations, p.times
        FROM (SELECT array_agg(j.position ORDER BY j.position) AS positions,
                     array_agg(j.operation ORDER BY j.position) AS operations,
                     array_agg((extract(epoch FROM j.appended_at) * 1000000)::bigint ORDER BY j.position)
                         AS times
              FROM larder.journal j WHERE j.key = page) AS p;
END
$$;

-- Applies changes and takes their entries off; fails as a whole. A change is {"key", "price_minor",
-- "currency", "updated_at", "stock": {sku: pieces}, "positions": […]}.
CREATE FUNCTION journal_write(changes jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
BEGIN
    PERFORM larder.begin_applying();
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
    PERFORM larder.end_applying();
    PERFORM larder.take_off(
        ARRAY(SELECT c ->> 'key' FROM jsonb_array_elements(changes) AS c),
        ARRAY(SELECT p::bigint FROM jsonb_array_elements(changes) AS c
              CROSS JOIN LATERAL jsonb_array_elements_text(c -> 'positions') AS p));
END
$$;

-- The same for all of them but those that break a rule of the database, which it returns: what fails
-- is halved until the one at fault is alone.
CREATE FUNCTION journal_apply(changes jsonb) RETURNS TABLE (key text, error text)
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
        PERFORM public.journal_write(changes);
        RETURN;
    EXCEPTION
        -- Rules of the schema, and what a trigger of somebody's raises. All else is no fault of a
        -- change, and may pass.
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
        CROSS JOIN LATERAL public.journal_apply(
            (SELECT jsonb_agg(changes -> i) FROM generate_series(half.first, half.beyond - 1) AS i)) AS a;
END
$$;

-- Writes down that entries could not be applied. Those tried often enough become dead letters: a row
-- for each key that becomes newer by it.
CREATE FUNCTION journal_fail(positions bigint[], errors text[], most integer, backoff interval)
    RETURNS TABLE (dead bigint, namespace text, key text, epoch integer, counter bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    in_namespaces text[];
    touched text[];
BEGIN
    FOR dead IN SELECT * FROM larder.put_off(positions, errors, most, backoff) LOOP
        SELECT array_agg(t.namespace), array_agg(t.key) INTO in_namespaces, touched
        FROM larder.journal j CROSS JOIN LATERAL public.journal_touches(ARRAY[j.key], ARRAY[j.operation]) AS t
        WHERE j.position = dead;
        CONTINUE WHEN NOT larder.bury(dead, in_namespaces, touched);
        RETURN QUERY
            SELECT dead, v.namespace, v.key, e.epoch, v.version
            FROM unnest(in_namespaces, touched) AS t (namespace, key)
            JOIN larder.versions v ON v.namespace = t.namespace AND v.key = t.key
            JOIN larder.epochs e ON e.namespace = v.namespace;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION
    journal_touches(text[], jsonb[]),
    journal_append(text[], jsonb[]),
    journal_standing(bigint),
    journal_lock_free(text[]),
    journal_take(integer),
    product_lock(bigint, boolean, boolean),
    journal_write(jsonb),
    journal_apply(jsonb),
    journal_fail(bigint[], text[], integer, interval)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    journal_append(text[], jsonb[]),
    journal_take(integer),
    product_lock(bigint, boolean, boolean),
    journal_apply(jsonb),
    journal_fail(bigint[], text[], integer, interval)
TO larder_application;
