#!/usr/bin/env bash
# Install what the tests need and run them against servers they start themselves.
# usage: scripts/test.sh [quick|contracts|faults|replay|browser|api-fuzz|soak] [--full] [pytest options]; without an area, what CI runs.
#        --full runs long proofs whole instead of a sample.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/python.sh

CI_AREAS="quick contracts faults replay browser"
ALL_AREAS="$CI_AREAS api-fuzz soak"
not_run=()
failed=()
times=()

case "${1:-}" in
-h | --help)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
"" | -*) areas=$CI_AREAS ;;
*)
    areas=$1
    shift
    case " $ALL_AREAS " in *" $areas "*) ;; *)
        echo "$areas is not an area; the areas are: $ALL_AREAS" >&2
        exit 2
        ;;
    esac
    ;;
esac

if [ "${1:-}" = --full ]; then
    shift
    export DGBOT_TEST_FULL=1
fi

# The operator's settings, servers and data must not reach the tests, nor the tests them.
for name in $(env | sed -n 's/^\(DGBOT_[A-Z0-9_]*\|DATABASE_[A-Z_]*URL\|REDIS_URL\)=.*/\1/p'); do
    case $name in DGBOT_TEST_DATA | DGBOT_TEST_FULL) ;; *) unset "$name" ;; esac
done
ensure_environment requirements-dev.txt || exit 2
DGBOT_DATA_DIR=$(mktemp -d /tmp/dgbot-test.XXXXXX)
chmod 755 "$DGBOT_DATA_DIR"  # as root the servers run as another user, who must get in
export DGBOT_DATA_DIR
trap 'rm -rf "$DGBOT_DATA_DIR"' EXIT

step() {
    local label=$1
    shift
    echo "--- $label"
    "$@" || failed+=("$label")
}

# What keeps one core busy runs beside what comes next; its output and its verdict come when it is waited for.
beside() {  # name, command…
    local name=$1
    shift
    "$@" >"$DGBOT_DATA_DIR/$name.log" 2>&1 &
    echo $! >"$DGBOT_DATA_DIR/$name.pid"
}

ended() {  # name
    local code=0
    wait "$(cat "$DGBOT_DATA_DIR/$1.pid")" || code=$?
    cat "$DGBOT_DATA_DIR/$1.log"
    return $code
}

pytest_area() {  # label, folders…, then -- and options
    local label=$1 folders=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        [ -d "$1" ] && folders+=("$1")
        shift
    done
    shift
    if [ ${#folders[@]} -eq 0 ]; then
        echo "--- $label: no tests yet"
        return
    fi
    # Two at a time: most tests wait for a server or a clock. Each worker starts servers of its own.
    step "pytest $label" .venv/bin/python -m pytest -n 2 --dist loadfile "${folders[@]}" ${@+"$@"}
}

find_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

chromium_or_not_run() {
    find_chromium >/dev/null && return 0
    if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
        find_chromium >/dev/null && return 0
    fi
    not_run+=("browser: Chromium is not installed (as root on Debian this script installs it)")
    return 1
}

promtool_or_not_run() {
    command -v promtool >/dev/null && return 0
    if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null
        command -v promtool >/dev/null && return 0
    fi
    not_run+=("alert rules: promtool is not installed (as root on Debian this script installs the package prometheus)")
}

requirements_in_step() {
    if ! command -v uv >/dev/null 2>&1; then
        echo "skipped: uv is not installed"
        return 0
    fi
    uv lock --check --quiet &&
        uv export --quiet --locked --no-dev --no-emit-project --format requirements-txt --no-header | diff -q - requirements.txt &&
        uv export --quiet --locked --no-emit-project --format requirements-txt --no-header | diff -q - requirements-dev.txt
}

run_quick() {
    step "ruff check" .venv/bin/ruff check --quiet .
    step "ruff format" .venv/bin/ruff format --quiet --check .
    beside mypy .venv/bin/mypy --no-error-summary
    step "import line" .venv/bin/lint-imports --no-logo
    step "requirements in step with uv.lock" requirements_in_step
    step "manage.py check" .venv/bin/python manage.py check
    step "no missing migration" .venv/bin/python manage.py makemigrations --check --dry-run
    promtool_or_not_run
    pytest_area quick tests/unit tests/properties -- "$@"
    step "mypy" ended mypy
}

run_area() {
    local area=$1
    shift
    case $area in
    quick) run_quick "$@" ;;
    browser) [ -d tests/browser ] && chromium_or_not_run && pytest_area browser tests/browser -- "$@" ;;
    faults) pytest_area faults tests/faults tests/simulation -- "$@" ;;
    api-fuzz) pytest_area api-fuzz tests/api_fuzz -- "$@" ;;
    *) pytest_area "$area" "tests/$area" -- "$@" ;;
    esac
}

# Compiled once here, so that no test waits for it; kept in var/ for the next run.
beside kernels env NUMBA_CACHE_DIR="$PWD/var/numba-tests" .venv/bin/python -c "from backtests.engine import warm; warm()"

# Migrated once, for the same reason.
step "migrate the tests' cluster" .venv/bin/python -m tests.kept_cluster
step "compile the kernels" ended kernels

for area in $areas; do
    started=$(date +%s)
    echo "=== $area"
    run_area "$area" ${@+"$@"}
    times+=("$area $(($(date +%s) - started)) s")
done

echo "=== times: $(printf '%s; ' "${times[@]}")"
for line in ${not_run[@]+"${not_run[@]}"}; do echo "NOT RUN $line"; done
if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: $(printf '%s; ' "${failed[@]}")"
    exit 1
fi
if [ ${#not_run[@]} -gt 0 ] && [ -n "${CI:-}" ]; then
    echo "FAILED: with CI set nothing may be left out"
    exit 1
fi
echo "PASSED"
