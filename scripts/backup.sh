#!/usr/bin/env bash
# Back up the platform. usage: scripts/backup.sh [all|postgres|redis|results|s3|cleanup DAYS|stats] [--json]
# Beat does the same every day at 00:00 UTC and removes what is older than 7 days on Sundays at 01:00 UTC.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python.sh

case "${1:-}" in -h | --help)
    sed -n '2,3s/^# //p' "$0"
    exit 0
    ;;
esac
ensure_environment requirements.txt || exit 2
exec .venv/bin/python manage.py backup "$@"
