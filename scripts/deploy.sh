#!/usr/bin/env bash
# Deploy the platform. usage: scripts/deploy.sh [development|staging|production] [--dry-run]
# development: this machine, without Docker. staging, production: Compose; production wants HTTPS. Each step says what it did; the report lies in var/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python.sh

target=development
dry_run=false
for argument in "$@"; do
    case $argument in
    -h | --help)
        sed -n '2,3s/^# //p' "$0"
        exit 0
        ;;
    development | staging | production) target=$argument ;;
    --dry-run) dry_run=true ;;
    *)
        echo "$argument is no target; the targets are development, staging and production" >&2
        exit 2
        ;;
    esac
done

report=var/deployment-$(date -u +%Y%m%dT%H%M%SZ).txt
mkdir -p var
say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" | tee -a "$report"; }
refuse() {
    say "STOPPED: $*"
    exit 1
}
step() { # label, command…
    say "→ $1"
    shift
    if $dry_run; then
        say "  would run: $*"
        return 0
    fi
    "$@" 2>&1 | tee -a "$report"
}
# A value of an environment file; empty when it is not set.
value() { [ -f "$1" ] && sed -n "s/^$2=//p" "$1" | tail -n 1 || true; }
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

make_env() { # every password that is still empty gets a value; what stands there stays
    [ -f .env ] || install -m 600 deploy/compose.env.example .env
    chmod 600 .env
    local name
    for name in POSTGRES_OWNER_PASSWORD POSTGRES_APP_PASSWORD POSTGRES_READER_PASSWORD DGBOT_METRICS_TOKEN GRAFANA_ADMIN_PASSWORD FLOWER_PASSWORD; do
        [ -n "$(value .env "$name")" ] && continue
        sed -i.bak "/^$name=/d" .env && rm -f .env.bak
        echo "$name=$(random)" >>.env
        echo "made $name"
    done
    [ -f settings.env ] || install -m 600 .env.example settings.env
}

check_settings() {
    [ -f settings.env ] || { $dry_run && return 0; } || refuse "settings.env is missing"
    local live https hosts
    live=$(value settings.env DGBOT_LIVE_TRADING) https=$(value settings.env DGBOT_HTTPS) hosts=$(value settings.env DGBOT_ALLOWED_HOSTS)
    if [ "$target" = staging ] && [ "$live" = true ]; then
        refuse "DGBOT_LIVE_TRADING is true in settings.env; staging trades no real money, so set it to false"
    fi
    if [ "$target" = production ] && ! $dry_run; then
        [ "$https" = true ] || refuse "DGBOT_HTTPS is not true in settings.env; production is reached over HTTPS, so put a proxy with TLS before it and set it"
        [ -n "$hosts" ] || refuse "DGBOT_ALLOWED_HOSTS is empty in settings.env; set it to the site's names"
    fi
    say "  settings.env fits $target"
}

wait_until_ready() { # seconds, address
    local end=$((SECONDS + $1))
    until curl -fsS -o /dev/null -H 'Host: localhost' "$2"; do
        [ $SECONDS -lt $end ] || refuse "$2 was not ready within $1 s; see: docker compose logs"
        sleep 2
    done
}

check_bucket() {
    local bucket
    bucket=$(value settings.env AWS_BUCKET_NAME)
    if [ -z "$bucket" ]; then
        say "  no bucket is set, so backups and results stay on this machine"
        return 0
    fi
    step "copy backups to the bucket $bucket" docker compose exec -T worker python manage.py backup s3
}

say "deploying to $target$($dry_run && echo ' (dry run: nothing is changed)' || true), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"

if [ "$target" = development ]; then
    step "Python environment with locked packages" ensure_environment requirements.txt
    step "settings" .venv/bin/python -m dgbot.env
    step "system checks" .venv/bin/python manage.py check
    step "databases, migrations, first rows" .venv/bin/python manage.py prepare
    step "one full cycle, then stop" scripts/up.sh --check
    say "done; start it with scripts/up.sh. Report: $report"
    exit 0
fi

if ! $dry_run; then
    command -v docker >/dev/null || refuse "docker is not installed; install Docker Engine with the Compose plugin"
    docker compose version >/dev/null 2>&1 || refuse "the Compose plugin is missing; install docker-compose-plugin"
    docker info >/dev/null 2>&1 || refuse "the Docker daemon does not answer; start it, or join the group docker"
    command -v curl >/dev/null || refuse "curl is not installed"
fi
step "passwords in .env (made once, readable by you alone)" make_env
say "→ settings for $target"
check_settings
profiles=()
[ "$target" = production ] && profiles=(--profile monitoring)
step "compose file" docker compose ${profiles[@]+"${profiles[@]}"} config --quiet
step "image" docker compose build --pull
step "system checks in the image" docker compose run --rm --no-deps -T web python manage.py check --deploy
step "databases" docker compose up -d --wait postgres valkey
step "migrations (dumped before) and first rows" docker compose run --rm -T prepare
step "platform" docker compose ${profiles[@]+"${profiles[@]}"} up -d --wait --remove-orphans
step "web answers" wait_until_ready 120 "http://127.0.0.1:$(value .env DGBOT_PORT | grep . || echo 8000)/health/ready"
step "queues, processes, data" docker compose exec -T worker python manage.py health verbose || say "  some checks are errors; read them above"
say "→ bucket"
$dry_run || check_bucket
step "what runs" docker compose ps
say "done. Report: $report"
