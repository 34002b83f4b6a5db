-- A mapping that joins another table sees what is committed when its statement ends. A product's
-- change and a new link to that product, in two transactions that overlap, would see nothing of
-- each other: the page with the new link would be bumped for the link, but never for the change,
-- if that commits last. So who makes a link waits for who changes what it links to, and the other
-- way round: both lock the linked row.

-- FOR UPDATE, not FOR SHARE: it also keeps out who adds a review, which holds the row by its
-- foreign key. In the order of ids, so that two who do the same never wait in a circle.
CREATE FUNCTION lock_linked_products() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.products p
    WHERE p.id IN (SELECT n.related_id FROM new_rows n)
    ORDER BY p.id FOR UPDATE;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION lock_linked_products() FROM PUBLIC;

-- Named so that they fire before the triggers that bump versions.
CREATE TRIGGER a_lock_linked_on_insert AFTER INSERT ON related_products
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION lock_linked_products();
CREATE TRIGGER a_lock_linked_on_update AFTER UPDATE ON related_products
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION lock_linked_products();

-- The same for a product that comes under a category, and the names on the path to it. Categories
-- hardly ever change, so those who come share the lock.
CREATE FUNCTION lock_category_path() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entered integer[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        entered := ARRAY(SELECT DISTINCT n.category_id FROM new_rows n);
    ELSE
        entered := ARRAY(SELECT DISTINCT n.category_id FROM new_rows n JOIN old_rows o ON o.id = n.id
                         WHERE n.category_id <> o.category_id);
    END IF;
    PERFORM FROM public.categories c
    WHERE c.id IN (
        WITH RECURSIVE path AS (
            SELECT c.id, c.parent_id FROM public.categories c WHERE c.id = ANY (entered)
            UNION
            SELECT c.id, c.parent_id FROM path JOIN public.categories c ON c.id = path.parent_id
        )
        SELECT path.id FROM path
    )
    ORDER BY c.id FOR SHARE;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION lock_category_path() FROM PUBLIC;

CREATE TRIGGER a_lock_path_on_insert AFTER INSERT ON products
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION lock_category_path();
CREATE TRIGGER a_lock_path_on_update AFTER UPDATE ON products
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION lock_category_path();
