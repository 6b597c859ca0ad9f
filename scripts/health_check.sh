#!/usr/bin/env bash
# Look at every part of the platform. usage: scripts/health_check.sh [once|verbose|alert|monitor] [--json]
# once: what is not ok · verbose: everything · alert: begin, end and tell alarms (for cron) · monitor: again every 5 s. Exit 1 at an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python.sh

case "${1:-}" in -h | --help)
    sed -n '2,3s/^# //p' "$0"
    exit 0
    ;;
esac
ensure_environment requirements.txt || exit 2
exec .venv/bin/python manage.py health "$@"
