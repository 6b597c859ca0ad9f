#!/bin/sh
# Roles: migrations run as the owner, everything else as a role that owns nothing and so can switch no trigger off. A third, for Grafana,
# reads the tables that `prepare` names.
set -eu
: "${POSTGRES_APP_PASSWORD:?set POSTGRES_APP_PASSWORD}"
: "${POSTGRES_READER_PASSWORD:=}"
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set owner="$POSTGRES_USER" --set password="$POSTGRES_APP_PASSWORD" \
    --set reader_password="$POSTGRES_READER_PASSWORD" --file - <<'SQL'
CREATE ROLE dgbot_app LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
ALTER ROLE dgbot_app SET statement_timeout = '5min';
ALTER ROLE dgbot_app SET idle_in_transaction_session_timeout = '30min';
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO dgbot_app;
GRANT USAGE ON SCHEMA public TO dgbot_app;
SELECT format('CREATE ROLE dgbot_reader LOGIN PASSWORD %L NOSUPERUSER NOCREATEDB NOCREATEROLE', :'reader_password')
WHERE :'reader_password' <> '' \gexec
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dgbot_app;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO dgbot_app;
SQL
