#!/usr/bin/env bash
# Start everything on this machine: databases, web, worker, scheduler, gateway, guardian. `--check` stops after one full cycle.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python.sh

case " $* " in *" -h "* | *" --help "*)
    echo "usage: scripts/up.sh [--check]    Starts everything; --check stops with success after one full cycle. Settings: .env.example"
    exit 0
    ;;
esac
ensure_environment requirements.txt || exit 2
exec .venv/bin/python -m dgbot.local "$@"
