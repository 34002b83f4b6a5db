-- Making what is cached old without changing what it is made of: for an operator.

-- The next version of `key` among the versions that are kept as `kept_as`, in the epoch of `namespace`.
CREATE FUNCTION larder.make_old(namespace text, kept_as text, key text) RETURNS TABLE (epoch integer, version bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    current integer;
    bumped bigint;
BEGIN
    SELECT e.epoch INTO current FROM larder.epochs e WHERE e.namespace = $1;
    IF current IS NULL THEN
        RAISE EXCEPTION 'larder: there is no namespace %', quote_nullable($1);
    END IF;
    INSERT INTO larder.versions AS v (namespace, key, version, txid, changed_at)
    VALUES ($2, $3, 1, pg_current_xact_id(), clock_timestamp())
    ON CONFLICT ON CONSTRAINT versions_pkey DO UPDATE
    SET version = v.version + 1, txid = excluded.txid, changed_at = excluded.changed_at
    RETURNING v.version INTO bumped;
    RETURN QUERY SELECT current, bumped;
END
$$;

-- Every value of `key` in `namespace` is old; the version that it has from now on.
CREATE FUNCTION larder.invalidate(namespace text, key text) RETURNS TABLE (epoch integer, version bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT * FROM larder.make_old($1, $1, $2);
    PERFORM larder.ring();
END
$$;

-- The same for every value that has the tag `name`. Versions of tags are kept beside those of keys, where
-- the feed does not look: it tells of keys.
CREATE FUNCTION larder.invalidate_tag(namespace text, name text) RETURNS TABLE (epoch integer, version bigint)
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM larder.make_old($1, $1 || '#tags', $2)
$$;

REVOKE ALL ON FUNCTION
    larder.make_old(text, text, text),
    larder.invalidate(text, text),
    larder.invalidate_tag(text, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    larder.invalidate(text, text),
    larder.invalidate_tag(text, text),
    larder.clear(text)
TO larder_application;
