-- The keys of those who write to the catalogue or administer the service. They are the service's
-- own, not Larder's. Of a key's secret there is an Argon2id hash here, and nothing else anywhere.

CREATE TABLE api_keys (
    -- Part of the key, so that one row is compared with it.
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    -- A PHC string, with its own parameters and salt.
    hash text NOT NULL CHECK (hash LIKE '$argon2id$%'),
    -- write implies read, and admin both.
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write', 'admin'] AND cardinality(scopes) > 0),
    note text NOT NULL CHECK (length(note) <= 200),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);
GRANT SELECT, INSERT, UPDATE (revoked_at) ON api_keys TO larder_application;
