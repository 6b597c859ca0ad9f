#!/usr/bin/env bash
# Write docs/openapi.yaml from the code; the tests compare the two. usage: scripts/openapi.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python.sh
ensure_environment requirements-dev.txt
DGBOT_DATA_DIR=$(mktemp -d /tmp/dgbot-openapi.XXXXXX)
export DGBOT_DATA_DIR
trap 'rm -rf "$DGBOT_DATA_DIR"' EXIT
.venv/bin/python -m dgbot.api_document docs/openapi.yaml
