-- What was chosen at run time for all processes of an environment at once, and which processes
-- there are, so that whoever switches learns when all of them have followed.

CREATE TABLE larder.strategies (
    environment text NOT NULL CHECK (environment <> ''),
    namespace text NOT NULL CHECK (namespace <> ''),
    -- Both null: as the configuration of each process says. The row stays, for its generation.
    strategy text,
    tiers text,
    -- Grows with each choice in the environment.
    generation bigint NOT NULL CHECK (generation > 0),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (environment, namespace),
    CHECK ((strategy IS NULL) = (tiers IS NULL))
);

-- A row for each process, renewed by it. Unlogged: after a crash of the server the processes say
-- again that they are there.
CREATE UNLOGGED TABLE larder.processes (
    environment text NOT NULL,
    process text NOT NULL,
    address text NOT NULL,
    -- The generation that it runs under.
    adopted bigint NOT NULL,
    -- The generation under which it knows all processes to run.
    settled bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (environment, process)
) WITH (fillfactor = 50);

-- Chooses for all processes of `environment`; null and null: as each is configured. What differs
-- from the last choice gets a new generation and, in the same transaction, moves the epoch of the
-- namespace: under another strategy writes may not have been invalidating.
CREATE FUNCTION larder.choose_strategy(environment text, namespace text, strategy text, tiers text)
    RETURNS TABLE (generation bigint, epoch integer)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    newest bigint;
    known larder.strategies;
    moved integer;
BEGIN
    -- One chooses at a time: generations are committed in their order.
    LOCK TABLE larder.strategies IN SHARE ROW EXCLUSIVE MODE;
    SELECT coalesce(max(s.generation), 0) INTO newest
        FROM larder.strategies s WHERE s.environment = $1;
    SELECT s.* INTO known FROM larder.strategies s WHERE s.environment = $1 AND s.namespace = $2;
    IF (known.strategy, known.tiers) IS NOT DISTINCT FROM ($3, $4) THEN
        RETURN QUERY SELECT coalesce(known.generation, 0), e.epoch
            FROM larder.epochs e WHERE e.namespace = $2;
        RETURN;
    END IF;
    INSERT INTO larder.strategies AS s (environment, namespace, strategy, tiers, generation)
    VALUES ($1, $2, $3, $4, newest + 1)
    ON CONFLICT ON CONSTRAINT strategies_pkey DO UPDATE
    SET strategy = excluded.strategy,
        tiers = excluded.tiers,
        generation = excluded.generation,
        changed_at = clock_timestamp();
    INSERT INTO larder.epochs AS e (namespace, strategy) VALUES ($2, $3)
    ON CONFLICT ON CONSTRAINT epochs_pkey DO UPDATE
    SET epoch = e.epoch + 1,
        strategy = excluded.strategy,
        txid = pg_current_xact_id(),
        changed_at = clock_timestamp()
    RETURNING e.epoch INTO moved;
    -- Not larder.ring(): the connections of a service do not ring as a rule, and this is rare.
    PERFORM pg_notify('larder_feed', '');
    RETURN QUERY SELECT newest + 1, moved;
END
$$;

-- The process says that it is there and what it runs under, and hears of every namespace what was
-- chosen, and which epoch it has. `slowest` is the generation under which all run that were there
-- within `life`.
CREATE FUNCTION larder.follow(
    environment text, process text, address text, adopted bigint, settled bigint, life interval
)
    RETURNS TABLE (
        slowest bigint,
        namespace text,
        epoch integer,
        strategy text,
        tiers text,
        generation bigint,
        changed_at text
    )
    LANGUAGE plpgsql
    SECURITY DEFINER
    ROWS 10
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- What a crash forgets is said again within a second.
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO larder.processes AS p (environment, process, address, adopted, settled, seen_at)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp())
    ON CONFLICT ON CONSTRAINT processes_pkey DO UPDATE
    SET address = excluded.address,
        adopted = excluded.adopted,
        settled = excluded.settled,
        seen_at = excluded.seen_at;
    DELETE FROM larder.processes p
    WHERE p.environment = $1 AND p.seen_at < clock_timestamp() - greatest(10 * $6, interval '1 minute');
    RETURN QUERY
        SELECT l.slowest, e.namespace, e.epoch, s.strategy, s.tiers, s.generation,
            to_char(s.changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        FROM larder.epochs e
        LEFT JOIN larder.strategies s ON s.namespace = e.namespace AND s.environment = $1
        CROSS JOIN (
            SELECT min(p.adopted) AS slowest FROM larder.processes p
            WHERE p.environment = $1 AND p.seen_at >= clock_timestamp() - $6
        ) AS l
        ORDER BY e.namespace;
END
$$;

-- The processes of `environment` that were there within `life`.
CREATE FUNCTION larder.processes_of(environment text, life interval)
    RETURNS TABLE (process text, address text, adopted bigint, settled bigint, seen_ms_ago bigint)
    LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.process, p.address, p.adopted, p.settled,
        greatest(0, (extract(epoch FROM clock_timestamp() - p.seen_at) * 1000)::bigint)
    FROM larder.processes p
    WHERE p.environment = $1 AND p.seen_at >= clock_timestamp() - $2
    ORDER BY p.process
$$;

-- The process is there no longer: nobody waits for it.
CREATE FUNCTION larder.leave(environment text, process text) RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM larder.processes p WHERE p.environment = $1 AND p.process = $2
$$;

REVOKE ALL ON FUNCTION
    larder.choose_strategy(text, text, text, text),
    larder.follow(text, text, text, bigint, bigint, interval),
    larder.processes_of(text, interval),
    larder.leave(text, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION larder.choose_strategy(text, text, text, text) TO larder_application;
-- By the relay's role where it is another one: the application's statements are those of its work.
GRANT EXECUTE ON FUNCTION
    larder.follow(text, text, text, bigint, bigint, interval),
    larder.processes_of(text, interval),
    larder.leave(text, text)
TO larder_application, larder_relay;
