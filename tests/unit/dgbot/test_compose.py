"""docker-compose.yml says what `up` starts; no Docker here, so the file is read as Compose reads it."""

import re
from typing import Any

import pytest
import yaml

from dgbot.env import BASE_DIR
from dgbot.local.up import programs

COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SERVERS = {"postgres", "valkey"}
ONCE = {"prepare"}
OURS = set(SERVICES) - SERVERS


def essence(command: list[str]) -> list[str]:
    """What a command starts, without interpreter, paths and what only one machine needs."""
    words = [word.rsplit("/", 1)[-1] for word in command]
    start = next(number for number, word in enumerate(words) if word in ("uvicorn", "celery", "manage.py"))
    rest = words[start:]
    for option in ("--app-dir", "--workdir", "--host", "--port"):
        if option in rest:
            at = rest.index(option)
            del rest[at : at + 2]
    return rest


@pytest.mark.parametrize("program", programs("127.0.0.1", 8000), ids=lambda program: program.name)
def test_every_process_of_up_has_a_service_with_the_same_command(program):
    service = SERVICES[program.name]

    assert essence(service["command"]) == essence(list(program.command))
    assert service["environment"]["DGBOT_PROCESS"] == program.name


def test_there_is_no_service_that_up_does_not_start():
    assert {program.name for program in programs("127.0.0.1", 8000)} == OURS - ONCE


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE))
def test_every_service_has_a_health_check_and_comes_back(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(OURS - ONCE))
def test_every_process_waits_for_the_prepared_database(name):
    waits = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}

    assert waits == {"prepare": "service_completed_successfully", "postgres": "service_healthy", "valkey": "service_healthy"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_only_prepare_connects_as_the_owner_of_the_tables(name):
    user = re.match(r"postgres://(\w+):", SERVICES[name]["environment"]["DATABASE_URL"]).group(1)

    assert user == ("dgbot" if name in ONCE else "dgbot_app")


def test_no_password_has_a_default():
    passwords = re.findall(r"\$\{(\w*PASSWORD)(:?[^}]*)\}", (BASE_DIR / "docker-compose.yml").read_text())

    assert passwords
    assert all(rule.startswith(":?") for _name, rule in passwords)


def test_everything_that_must_last_lies_in_a_named_volume():
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}

    assert {name for name in mounted if not name.startswith(".")} == set(COMPOSE["volumes"])
    assert {source for source in mounted if source.startswith(".")} == {"./deploy/postgres/10-roles.sh"}


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_database_and_broker_are_reached_from_inside_only(name):
    assert SERVICES[name]["networks"] == ["inside"]
    assert "ports" not in SERVICES[name]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_the_site_listens_on_loopback_and_nothing_else_has_a_port():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(ports) == {"web"}
    assert all(port.startswith("127.0.0.1:") for port in ports["web"])


def test_every_variable_that_compose_asks_for_is_in_its_example():
    asked = set(re.findall(r"\$\{(\w+)", (BASE_DIR / "docker-compose.yml").read_text()))
    named = set(re.findall(r"^#?(\w+)=", (BASE_DIR / "deploy/compose.env.example").read_text(), flags=re.MULTILINE))

    assert asked == named


def test_only_prepare_and_the_gateway_see_the_private_key():
    seen = {name for name, service in SERVICES.items() if any("dgbot-keys" in volume for volume in service.get("volumes", []))}
    told = {name for name in OURS if "DGBOT_KEY_FILE" in SERVICES[name]["environment"]}

    assert seen == told == {"prepare", "gateway"}
