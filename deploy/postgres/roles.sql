-- The login roles of the application and of its change feed, each in the group that migrations grant
-- to; run by psql as the administrator, each time, with APP_PASSWORD and FEED_PASSWORD in its
-- environment.
\set ON_ERROR_STOP on
\getenv app_password APP_PASSWORD
\getenv feed_password FEED_PASSWORD

SELECT format('CREATE ROLE %I NOLOGIN', wanted.role)
FROM (VALUES ('larder_application'), ('larder_relay')) AS wanted (role)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.role)
\gexec

SELECT format('CREATE ROLE %I LOGIN', wanted.role)
FROM (VALUES ('larder_app'), ('larder_feed')) AS wanted (role)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.role)
\gexec

GRANT larder_application TO larder_app;
GRANT larder_relay TO larder_feed;
ALTER ROLE larder_app PASSWORD :'app_password';
ALTER ROLE larder_feed PASSWORD :'feed_password';

CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
