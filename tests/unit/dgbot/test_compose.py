"""docker-compose.yml says what `up` starts; no Docker here, so the file is read as Compose reads it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.utils.module_loading import import_string

from dgbot.env import BASE_DIR
from dgbot.local.up import programs
from tests.scale import only_in_full

COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SERVERS = {"postgres", "valkey"}
WATCHERS = {"prometheus": "monitoring", "alertmanager": "monitoring", "grafana": "monitoring", "flower": "queue-dashboard"}
ONCE = {"prepare"}
OURS = set(SERVICES) - SERVERS - set(WATCHERS)


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
    passwords = re.findall(r"\$\{(\w*(?:PASSWORD|TOKEN))(:?[^}]*)\}", (BASE_DIR / "docker-compose.yml").read_text())

    assert passwords
    assert all(rule.startswith(":?") for _name, rule in passwords)


def test_everything_that_must_last_lies_in_a_named_volume():
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}

    assert {name for name in mounted if not name.startswith(".")} == set(COMPOSE["volumes"])
    assert all((BASE_DIR / source).exists() for source in mounted if source.startswith("."))


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_database_and_broker_are_reached_from_inside_only(name):
    assert SERVICES[name]["networks"] == ["inside"]
    assert "ports" not in SERVICES[name]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_the_site_and_what_watches_it_listen_on_loopback_and_nothing_else_has_a_port():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(ports) == {"web", *WATCHERS}
    assert all(port.startswith("127.0.0.1:") for each in ports.values() for port in each)


def test_every_variable_that_compose_asks_for_is_in_its_example():
    asked = set(re.findall(r"\$\{(\w+)", (BASE_DIR / "docker-compose.yml").read_text()))
    named = set(re.findall(r"^#?(\w+)=", (BASE_DIR / "deploy/compose.env.example").read_text(), flags=re.MULTILINE))

    assert asked == named


def test_only_prepare_and_the_gateway_see_the_private_key():
    seen = {name for name, service in SERVICES.items() if any("dgbot-keys" in volume for volume in service.get("volumes", []))}
    told = {name for name in OURS if "DGBOT_KEY_FILE" in SERVICES[name]["environment"]}

    assert seen == told == {"prepare", "gateway"}


def test_prometheus_grafana_and_flower_are_started_by_their_profiles_alone():
    assert {name: service["profiles"][0] for name, service in SERVICES.items() if "profiles" in service} == WATCHERS


@pytest.mark.parametrize("name", sorted(OURS - ONCE))
def test_a_command_is_one_that_its_program_takes(name):
    """A dry start: the arguments are read by the program's own parser."""
    program, *arguments = SERVICES[name]["command"]

    if program == "uvicorn":
        from uvicorn.main import main

        context = main.make_context("uvicorn", arguments)
        assert import_string(context.params["app"].replace(":", "."))
    elif program == "celery":
        from celery.bin.base import CLIContext
        from celery.bin.celery import celery

        context = celery.make_context("celery", list(arguments))
        context.obj = CLIContext(app=import_string(f"{arguments[1]}.app"), no_color=True, workdir=None)
        command = celery.get_command(context, arguments[2])
        assert command.make_context(arguments[2], arguments[3:], parent=context)
    else:
        assert (program, arguments[0]) == ("python", "manage.py")
        command = load_command_class(get_commands()[arguments[1]], arguments[1])
        assert command.create_parser("manage.py", arguments[1]).parse_args(arguments[2:])


@only_in_full
@pytest.mark.parametrize("name", sorted(OURS - ONCE))
def test_a_service_lives_and_ends_in_order_with_what_compose_gives_it(name, servers, tmp_path):
    """The whole start without Docker: the service's command and environment, on servers of this test."""
    environment = {
        **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")},
        **{key: value for key, value in SERVICES[name]["environment"].items() if "${" not in str(value)},
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "REDIS_URL": os.environ["REDIS_URL"],
        **dict.fromkeys(("DGBOT_DATA_DIR", "DGBOT_BACKUP_DIR"), str(tmp_path)),
        "DGBOT_KEY_FILE": str(tmp_path / "sealing.key"),
        "PYTHONPATH": str(BASE_DIR),
    }
    command = [word if word != "8000" else "0" for word in SERVICES[name]["command"]]
    folder = Path(sys.executable).parent
    command[0] = sys.executable if command[0] == "python" else str(folder / command[0])
    process = subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=12)
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert process.returncode in (0, -15), said.decode()  # uvicorn raises the signal again


@pytest.mark.parametrize("target", ["development", "staging", "production"])
def test_a_deployment_can_be_rehearsed(target, tmp_path):
    done = subprocess.run([BASE_DIR / "scripts/deploy.sh", target, "--dry-run"], capture_output=True, text=True, check=False)
    report = BASE_DIR / done.stdout.rpartition("Report: ")[2].strip()

    said = report.read_text()
    report.unlink()
    assert done.returncode == 0, done.stderr
    assert "dry run: nothing is changed" in said
    assert "migrations" in said


def test_a_deployment_to_nowhere_is_refused():
    done = subprocess.run([BASE_DIR / "scripts/deploy.sh", "moon"], capture_output=True, text=True, check=False)

    assert (done.returncode, "moon is no target" in done.stderr) == (2, True)


@pytest.mark.parametrize("unit", sorted((BASE_DIR / "deploy/systemd").iterdir()), ids=lambda path: path.name)
def test_a_systemd_unit_starts_what_exists(unit):
    text = unit.read_text()
    started = re.findall(r"^ExecStart=/opt/dgbot/(\S+)", text, flags=re.MULTILINE)

    assert started or unit.suffix == ".timer"
    assert all((BASE_DIR / name).is_file() for name in started)
