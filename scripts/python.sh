# Sourced by the other scripts: `ensure_environment REQUIREMENTS` makes .venv and installs what is locked, only when it changed.
# Written for bash 3.2, which macOS ships.

PYTHON_RANGE="3.11 to 3.14"

find_python() {
    for candidate in python3.13 python3.12 python3.11 python3.14 python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

environment_fits() {
    [ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1
}

make_environment() {
    rm -rf .venv
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python ">=3.11,<3.15" .venv && return 0
    fi
    local python
    if python=$(find_python); then
        "$python" -m venv .venv && return 0
    fi
    echo "dgbot needs Python $PYTHON_RANGE with venv, or uv: install uv (https://docs.astral.sh/uv/), or Python and its venv module (Debian, Ubuntu: apt-get install python3 python3-venv)." >&2
    return 1
}

# Both compile what they install: where PYTHONDONTWRITEBYTECODE is set, every process would else compile two thousand modules anew.
install_locked() {
    if command -v uv >/dev/null 2>&1; then
        uv pip sync --quiet --compile-bytecode --require-hashes --only-binary :all: --python .venv/bin/python "$1"
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$1"
    fi
}

ensure_environment() {
    local wanted installed=""
    environment_fits || make_environment || return 1
    wanted=$(cksum "$1")
    # The developers' set holds the operator's, so either stamp of it will do.
    [ -f .venv/.installed ] && installed=$(cat .venv/.installed)
    [ "$installed" = "$wanted" ] && return 0
    if [ "$1" = requirements.txt ] && [ "$installed" = "$(cksum requirements-dev.txt)" ] && [ ! requirements.txt -nt .venv/.installed ]; then
        return 0
    fi
    echo "installing what $1 locks …"
    if ! install_locked "$1"; then
        echo "A package of $1 could not be installed: its registry must be reachable, and the machine be Linux with glibc or macOS 14+ on Apple silicon with Python $PYTHON_RANGE." >&2
        return 1
    fi
    echo "$wanted" >.venv/.installed
}
