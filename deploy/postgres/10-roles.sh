#!/bin/sh
# Two roles: migrations run as the owner, everything else as a role that owns nothing and so can switch no trigger off.
set -eu
: "${POSTGRES_APP_PASSWORD:?set POSTGRES_APP_PASSWORD}"
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set owner="$POSTGRES_USER" --set password="$POSTGRES_APP_PASSWORD" --file - <<'SQL'
CREATE ROLE dgbot_app LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO dgbot_app;
GRANT USAGE ON SCHEMA public TO dgbot_app;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dgbot_app;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO dgbot_app;
SQL
