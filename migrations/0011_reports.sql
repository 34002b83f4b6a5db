-- What each process says of itself once a second, so that one of them can show all.

-- Text whose form is the service's own business; null: an earlier release, or nothing to say yet.
ALTER TABLE larder.processes ADD COLUMN report text;

-- As larder.follow, and the process says `report` of itself. The former stays, for processes of an earlier
-- release that run while this one is rolled out.
CREATE FUNCTION larder.report_and_follow(
    environment text,
    process text,
    address text,
    adopted bigint,
    settled bigint,
    life interval,
    report text
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
BEGIN
    RETURN QUERY SELECT * FROM larder.follow($1, $2, $3, $4, $5, $6);
    UPDATE larder.processes p SET report = $7 WHERE p.environment = $1 AND p.process = $2;
END
$$;

-- What the processes of `environment` say that were there within `life`.
CREATE FUNCTION larder.reports_of(environment text, life interval)
    RETURNS TABLE (process text, address text, report text)
    LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.process, p.address, p.report
    FROM larder.processes p
    WHERE p.environment = $1 AND p.seen_at >= clock_timestamp() - $2
    ORDER BY p.address, p.process
$$;

REVOKE ALL ON FUNCTION
    larder.report_and_follow(text, text, text, bigint, bigint, interval, text),
    larder.reports_of(text, interval)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    larder.report_and_follow(text, text, text, bigint, bigint, interval, text),
    larder.reports_of(text, interval)
TO larder_application, larder_relay;
