"""The environment is parsed loudly, explained on request and in step with .env.example."""

from decimal import Decimal

import pytest

from dgbot import env
from dgbot.core.errors import BadInput


def load(variables=None, *, dotenv=None):
    return env.load(variables or {}, dotenv=dotenv)


def test_defaults_are_paper_on_this_machine():
    environment = load()

    assert environment["DGBOT_LIVE_TRADING"] is False
    assert environment["DGBOT_HOST"] == "127.0.0.1"
    assert environment["TRADING_AMOUNT"] == Decimal("50000")
    assert environment.origin("DGBOT_PORT") == "default"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("DGBOT_LIVE_TRADING", "yes please", "DGBOT_LIVE_TRADING must be true or false, was 'yes please'"),
        ("DGBOT_PORT", "99999", "DGBOT_PORT must be from 1 to 65535, was '99999'"),
        ("DGBOT_PORT", "http", "DGBOT_PORT must be a whole number from 1 to 65535, was 'http'"),
        ("DGBOT_LEASE_S", "nan", "DGBOT_LEASE_S must be from 1 to 3600, was 'nan'"),
        ("TRADING_AMOUNT", "-5", "TRADING_AMOUNT must be from 1 to 1000000000000, was '-5'"),
        ("TRADING_AMOUNT", "NaN", "TRADING_AMOUNT must be from 1 to 1000000000000, was 'NaN'"),
        ("DGBOT_RISK_TIMEZONE", "Seoul", "DGBOT_RISK_TIMEZONE must be a time zone such as Asia/Seoul, was 'Seoul'"),
        ("DGBOT_DEPLOYMENT", "dev1", "DGBOT_DEPLOYMENT must be three characters of A-Z and 2-7, was 'dev1'"),
        ("DGBOT_LOG_LEVEL", "LOUD", "DGBOT_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, was 'LOUD'"),
        ("DATABASE_URL", "mysql://me:hush@host/db", "DATABASE_URL must begin with postgres:// or postgresql://, was something else"),
    ],
)
def test_a_malformed_value_is_refused_with_its_allowed_form(name, text, sentence):
    with pytest.raises(BadInput) as refusal:
        load({name: text})

    assert str(refusal.value) == sentence


def test_every_problem_is_named_at_once():
    with pytest.raises(BadInput) as refusal:
        load({"DGBOT_PORT": "0", "DGBOT_DEBUG": "maybe"})

    assert "DGBOT_PORT" in str(refusal.value)
    assert "DGBOT_DEBUG" in str(refusal.value)


def test_an_unknown_name_of_ours_is_refused_with_the_nearest_one():
    with pytest.raises(BadInput, match=r"DGBOT_LIVE_TRADNG is not a setting of dgbot; did you mean DGBOT_LIVE_TRADING\?"):
        load({"DGBOT_LIVE_TRADNG": "true", "SOMEBODY_ELSES": "1"})


def test_a_secret_may_come_from_a_file_and_is_masked(tmp_path):
    file = tmp_path / "key"
    file.write_text("hush\n")

    entry = load({"OPENAI_API_KEY_FILE": str(file)}).entries["OPENAI_API_KEY"]

    assert (entry.value, entry.shown, entry.origin) == ("hush", env.MASK, str(file))


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_secret_file_that_says_nothing_is_refused(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)

    with pytest.raises(BadInput, match="DGBOT_SECRET_KEY_FILE names"):
        load({"DGBOT_SECRET_KEY_FILE": str(file)})


def test_a_secret_given_twice_is_refused(tmp_path):
    with pytest.raises(BadInput, match="both set"):
        load({"SMTP_PASSWORD": "a", "SMTP_PASSWORD_FILE": str(tmp_path)})


def test_the_environment_wins_over_dotenv_and_dotenv_over_the_default(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("# comment\nDGBOT_PORT=9001\nDGBOT_HOST=0.0.0.0\n")

    environment = load({"DGBOT_PORT": "9002"}, dotenv=dotenv)

    assert (environment["DGBOT_PORT"], environment.origin("DGBOT_PORT")) == (9002, "environment")
    assert (environment["DGBOT_HOST"], environment.origin("DGBOT_HOST")) == ("0.0.0.0", ".env")


def test_an_empty_value_means_the_default():
    assert load({"DGBOT_PORT": ""})["DGBOT_PORT"] == 8000


def test_env_example_lists_every_variable():
    assert (env.BASE_DIR / ".env.example").read_text() == env.example()


def test_env_example_with_every_line_in_force_is_valid(tmp_path):
    dotenv = tmp_path / ".env"
    lines = env.example().splitlines()
    dotenv.write_text("\n".join(line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines))

    assert {entry.variable.name: entry.value for entry in load(dotenv=dotenv)} == {entry.variable.name: entry.value for entry in load()}
