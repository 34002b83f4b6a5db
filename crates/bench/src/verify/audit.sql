-- The verifier's own record of every step, written by triggers in the transaction that makes it:
-- what was rolled back is not in it, and when it was committed Postgres knows by the
-- transaction's id (track_commit_timestamp).

CREATE SCHEMA verify;

CREATE UNLOGGED TABLE verify.version_steps (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    namespace text NOT NULL,
    key text NOT NULL,
    version bigint NOT NULL,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    writer text NOT NULL DEFAULT session_user
);
CREATE UNLOGGED TABLE verify.epoch_steps (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    namespace text NOT NULL,
    epoch integer NOT NULL,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    writer text NOT NULL DEFAULT session_user
);
-- The price that readers are to see of a product, or null once it is deleted.
CREATE UNLOGGED TABLE verify.product_steps (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    id bigint NOT NULL,
    price_minor bigint,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    writer text NOT NULL DEFAULT session_user
);

CREATE FUNCTION verify.note() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'versions' THEN
        INSERT INTO verify.version_steps (namespace, key, version)
        SELECT namespace, key, version FROM changed;
    WHEN 'epochs' THEN
        INSERT INTO verify.epoch_steps (namespace, epoch) SELECT namespace, epoch FROM changed;
    WHEN 'journal' THEN
        -- A price that waits is what readers see from now on; when it is applied, they see no change.
        INSERT INTO verify.product_steps (id, price_minor)
        SELECT key::bigint, (operation #>> '{price,minor}')::bigint FROM changed
        WHERE operation ? 'price' ORDER BY position;
    ELSE
        IF current_setting('larder.applying', true) <> '' THEN
            RETURN NULL;
        END IF;
        -- A price that waits is laid over what others write meanwhile.
        INSERT INTO verify.product_steps (id, price_minor)
        SELECT c.id, CASE WHEN TG_OP <> 'DELETE' THEN coalesce(
            (SELECT (j.operation #>> '{price,minor}')::bigint FROM larder.journal j
             WHERE j.key = c.id::text AND j.operation ? 'price' ORDER BY j.position DESC LIMIT 1),
            c.price_minor) END
        FROM changed c;
    END CASE;
    RETURN NULL;
END
$$;

CREATE TRIGGER verify_insert AFTER INSERT ON larder.versions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();
CREATE TRIGGER verify_update AFTER UPDATE ON larder.versions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();
CREATE TRIGGER verify_insert AFTER INSERT ON larder.epochs REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();
CREATE TRIGGER verify_update AFTER UPDATE ON larder.epochs REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();
CREATE TRIGGER verify_insert AFTER INSERT ON larder.journal REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();
CREATE TRIGGER verify_insert AFTER INSERT ON products REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();
CREATE TRIGGER verify_update AFTER UPDATE ON products REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();
CREATE TRIGGER verify_delete AFTER DELETE ON products REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION verify.note();

-- What a deleted product is made of when it comes back under its id.
CREATE TABLE verify.base_products AS SELECT * FROM products;
ALTER TABLE verify.base_products ADD PRIMARY KEY (id);
CREATE TABLE verify.base_variants AS SELECT * FROM variants;
CREATE INDEX ON verify.base_variants (product_id);
CREATE TABLE verify.base_related AS SELECT * FROM related_products;
CREATE INDEX ON verify.base_related (product_id);
CREATE INDEX ON verify.base_related (related_id);
