"""Every environment variable the platform knows: declared once, parsed loudly, explained on request.

`python -m dgbot.env` shows what is effective and where it came from; `--example` prints `.env.example`.
"""

import difflib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ

from dgbot.core import crash
from dgbot.core.errors import BadInput

BASE_DIR = Path(__file__).resolve().parent.parent
OURS = "DGBOT_"
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
MASK = "********"
SECOND_LIMIT = 3600.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Variable:
    """One variable. `kind` is text, boolean, integer, number, decimal, list, path, timezone, url or crash; bounds are inclusive."""

    name: str
    help: str
    kind: str = "text"
    default: Any = ""
    secret: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    schemes: tuple[str, ...] = ()


def _seconds(name: str, default: float, help_text: str, *, minimum: float = 0.05, maximum: float = SECOND_LIMIT) -> Variable:
    return Variable(name, help_text, "number", default, minimum=minimum, maximum=maximum)


def _text(name: str, help_text: str, *, default: str = "", secret: bool = False) -> Variable:
    return Variable(name, help_text, default=default, secret=secret)


SECTIONS: dict[str, tuple[Variable, ...]] = {
    "The platform": (
        Variable("DGBOT_DATA_DIR", "Folder of databases, logs and archives. Default: var/ here; as root /var/lib/dgbot/….", "path", None),
        Variable("DGBOT_BACKUP_DIR", "Folder of backups, best on another disk. Default: backups/ in the data folder.", "path", None),
        Variable("DGBOT_HOST", "Address the web server listens on.", default="127.0.0.1"),
        Variable("DGBOT_PORT", "Port the web server listens on.", "integer", 8000, minimum=1, maximum=65535),
        Variable("DGBOT_DEBUG", "Django's debug pages; never with real money.", "boolean", False),
        Variable("DGBOT_SECRET_KEY", "Signs sessions. Default: generated once and kept in the data folder.", secret=True),
        Variable("DGBOT_SECRET_KEY_FALLBACKS", "Former secret keys, still read; commas between them.", "list", (), secret=True),
        Variable("DGBOT_ALLOWED_HOSTS", "Host names the site answers to, besides this machine's own.", "list", ()),
        Variable("DGBOT_CSRF_TRUSTED_ORIGINS", "Origins trusted with forms, such as https://bot.example.com.", "list", ()),
        Variable("DGBOT_HTTPS", "The site is reached over HTTPS: secure cookies, redirect, HSTS.", "boolean", False),
        Variable(
            "DGBOT_PROXIES",
            "Proxies of yours before the web server, whose X-Forwarded-For is believed.",
            "integer",
            0,
            minimum=0,
            maximum=9,
        ),
        Variable("DGBOT_SESSION_IDLE_MINUTES", "A session without a page for so long ends.", "integer", 120, minimum=1, maximum=10_080),
        Variable("DGBOT_SESSION_HOURS", "A session ends after this time in any case.", "integer", 12, minimum=1, maximum=720),
        Variable(
            "DGBOT_SECOND_FACTOR_S",
            "A proven second factor is good for so many seconds.",
            "integer",
            300,
            minimum=0,
            maximum=3600,
        ),
        Variable("DGBOT_LOGIN_ATTEMPTS", "Wrong passwords before an account or an address waits.", "integer", 5, minimum=1, maximum=100),
        Variable("DGBOT_LOGIN_WAIT_MINUTES", "How long it waits.", "integer", 15, minimum=1, maximum=1440),
        Variable("DGBOT_METRICS_TOKEN", "Bearer token that opens /metrics to others than this machine.", secret=True),
        Variable("DGBOT_LOG_FORMAT", "How log lines look: line for people, json for collectors.", default="line", choices=("line", "json")),
        Variable("SENTRY_DSN", "Errors are told to this Sentry project, secrets masked.", "url", secret=True, schemes=("http", "https")),
        Variable("DGBOT_LOG_LEVEL", "Least level that is logged.", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
        Variable(
            "DGBOT_DEPLOYMENT", "Three base32 characters in every client id; one value per installation.", default="DEV", pattern="base32"
        ),
        Variable("DGBOT_TEST_FULL", "Run long proofs whole instead of a sample; for tests.", "boolean", False),
        Variable("DGBOT_TEST_DATA", "Folder of recorded files that some tests read.", "path", None),
        Variable("DGBOT_PROCESS", "Name of this process in logs; set by whatever starts it.", default=""),
        Variable("DGBOT_TEST_REAPER", "End children as on macOS, where the kernel does not; for tests.", "boolean", False),
        Variable("DGBOT_CRASH_AT", "End this process at a named point of the order path; for tests.", "crash", None),
        Variable("DGBOT_SUPERVISED", "Set by scripts/up.sh for its children: they log to files only.", "boolean", False),
    ),
    "Servers (default: embedded, started by scripts/up.sh)": (
        Variable(
            "DATABASE_URL", "PostgreSQL: postgres://user:password@host:5432/name.", "url", secret=True, schemes=("postgres", "postgresql")
        ),
        Variable(
            "DATABASE_DIRECT_URL", "The same database past a pooler, for locks.", "url", secret=True, schemes=("postgres", "postgresql")
        ),
        Variable("REDIS_URL", "Redis or Valkey; databases 0, 1 and 2 are used.", "url", secret=True, schemes=("redis", "rediss", "unix")),
    ),
    "Trading": (
        Variable("DGBOT_LIVE_TRADING", "First of the two switches of live trading; the bot's mode is the second.", "boolean", False),
        Variable("DGBOT_TWO_PERSON", "Steps that widen risk need a second person.", "boolean", False),
        Variable(
            "DGBOT_ENTRIES_PER_MINUTE",
            "More entries of one account within a minute trip its kill switch; of paper and live.",
            "integer",
            120,
            minimum=1,
            maximum=10_000,
        ),
        Variable(
            "DGBOT_BOT_ENTRIES_PER_MINUTE",
            "More entries of one bot within a minute trip its account's kill switch; of paper and live.",
            "integer",
            12,
            minimum=1,
            maximum=1_000,
        ),
        Variable(
            "DGBOT_API_PER_MINUTE",
            "Requests to the API a minute: one user's; an address may make four times as many.",
            "integer",
            1_200,
            minimum=1,
            maximum=1_000_000,
        ),
        Variable(
            "DGBOT_API_LOGINS_PER_MINUTE",
            "Logins and refreshes of JWTs a minute from one address.",
            "integer",
            30,
            minimum=1,
            maximum=100_000,
        ),
        Variable("DGBOT_RISK_TIMEZONE", "Its calendar day is the trading day of risk limits.", "timezone", "Asia/Seoul"),
        Variable("TRADING_SYMBOL", "Symbol of the first bot.", default="KRW-BTC"),
        Variable(
            "TRADING_AMOUNT", "Amount per trade of the first bot, KRW.", "decimal", Decimal(50_000), minimum=1, maximum=1_000_000_000_000
        ),
        Variable("SCHEDULER_ENABLED", "Scheduled cycles run.", "boolean", True),
        Variable("SCHEDULER_INTERVAL_MINUTES", "First period of the trading cycle, minutes.", "integer", 60, minimum=1, maximum=1440),
        Variable("DGBOT_UPBIT_URL", "Upbit's REST address, if not the real one.", "url", schemes=("http", "https")),
        Variable("DGBOT_UPBIT_WEBSOCKET_URL", "Upbit's websocket address, if not the real one.", "url", schemes=("ws", "wss")),
        Variable("DGBOT_BITGET_URL", "Bitget's REST address, if not the real one.", "url", schemes=("http", "https")),
        Variable("DGBOT_BITGET_WEBSOCKET_URL", "Bitget's websocket address, if not the real one.", "url", schemes=("ws", "wss")),
        Variable("UPBIT_ACCESS_KEY", "Upbit key, imported once into the sealed store.", secret=True),
        Variable("UPBIT_SECRET_KEY", "Upbit secret, imported once into the sealed store.", secret=True),
        Variable("DGBOT_KEY_FILE", "Private key that opens sealed exchange keys; default: made in the data folder.", "path", None),
        Variable("OPENAI_API_KEY", "Key of the analyst's endpoint; without it the rules decide.", secret=True),
        Variable("OPENAI_BASE_URL", "Any OpenAI-compatible endpoint.", "url", schemes=("http", "https")),
        Variable("DGBOT_AI_HOSTS", "Further hosts that analysts may ask, and so are given the key: host or host:port.", "list", ()),
    ),
    "Notifications and storage": (
        Variable("TELEGRAM_ENABLED", "Send to Telegram.", "boolean", False),
        _text("TELEGRAM_BOT_TOKEN", "Token from BotFather.", secret=True),
        _text("TELEGRAM_CHAT_ID", "Chat that receives messages."),
        Variable("DGBOT_TELEGRAM_URL", "Telegram's Bot API, if not the real one.", "url", schemes=("http", "https")),
        Variable(
            "DGBOT_PRIVATE_ADDRESSES",
            "Notifications may also go to addresses of this network, such as an own mail server.",
            "boolean",
            False,
        ),
        Variable(
            "DGBOT_FIELD_KEYS",
            "Encrypt secrets of notification channels, newest first. Default: made in the data folder.",
            "list",
            (),
            secret=True,
        ),
        Variable("SLACK_WEBHOOK_URL", "Incoming webhook.", "url", secret=True, schemes=("http", "https")),
        _text("SMTP_HOST", "Mail server."),
        Variable("SMTP_PORT", "Its port.", "integer", 587, minimum=1, maximum=65535),
        _text("SMTP_USER", "User at the mail server."),
        _text("SMTP_PASSWORD", "Password at the mail server.", secret=True),
        _text("SMTP_FROM_ADDR", "Sender of mails."),
        _text("AWS_BUCKET_NAME", "Bucket for backtest results; empty means local files."),
        _text("AWS_REGION", "Region of the bucket.", default="us-east-1"),
        _text("AWS_ACCESS_KEY_ID", "Key for the bucket; empty: the machine's own role.", secret=True),
        _text("AWS_SECRET_ACCESS_KEY", "Its secret.", secret=True),
        Variable("DGBOT_S3_URL", "Address of an S3 that is not Amazon's, such as MinIO.", "url", schemes=("http", "https")),
        Variable("DGBOT_RESULT_DAYS", "Days a backtest's files are kept, unless it is pinned.", "integer", 30, minimum=1, maximum=3650),
        Variable(
            "DGBOT_RUN_ATTEMPTS", "Attempts at a backtest whose worker dies or whose storage fails.", "integer", 3, minimum=1, maximum=20
        ),
    ),
    "Waits, seconds (change them only with a reason)": (
        _seconds("DGBOT_GATEWAY_SWEEP_S", 1.0, "The gateway looks for planned orders even without a doorbell.", maximum=60),
        Variable(
            "DGBOT_GATEWAY_THREADS",
            "Accounts the gateway serves at the same time; each takes two database connections.",
            "integer",
            8,
            minimum=1,
            maximum=64,
        ),
        _seconds("DGBOT_RECONCILE_ORDERS_S", 10.0, "Pause between two readings of an account's open orders.", minimum=0.05),
        _seconds("DGBOT_RECONCILE_FILLS_S", 30.0, "Pause between two readings of its executions.", minimum=0.05),
        _seconds("DGBOT_RECONCILE_BALANCES_S", 60.0, "Pause between two comparisons of its balances with our books.", minimum=0.05),
        _seconds("DGBOT_GUARDIAN_TICK_S", 0.5, "Pause between two looks of the guardian.", maximum=60),
        _seconds("DGBOT_LEASE_S", 30.0, "Life of a gateway's, guardian's or ticker's lease.", minimum=1),
        _seconds("DGBOT_CYCLE_LEASE_S", 120.0, "Life of a cycle runner's lease.", minimum=1),
        _seconds("DGBOT_SUBMIT_TIMEOUT_S", 10.0, "After it, an order found submitting is reconciled.", minimum=0.5),
        _seconds("DGBOT_ENTRY_PERMIT_S", 0.8, "Life of a permit to send an entry.", maximum=30),
        _seconds("DGBOT_EXIT_PERMIT_S", 3.0, "Life of a permit to send an exit.", maximum=60),
        _seconds(
            "DGBOT_ABANDONED_AFTER_S",
            40.0,
            "After a permit's end no byte of it is accepted any more: TCP's death, signature window, skew.",
            minimum=0.05,
        ),
        _seconds("DGBOT_VISIBLE_WITHIN_S", 60.0, "An accepted order shows in every question within this time.", minimum=0.05),
        _seconds("DGBOT_DISPUTE_AFTER_S", 900.0, "An order unclear for so long needs a person.", minimum=1, maximum=86_400),
        _seconds("DGBOT_ABSENT_HOLD_S", 900.0, "What an absent entry reserved is kept for this time.", minimum=0.05, maximum=86_400),
        _seconds("DGBOT_CANCEL_AGAIN_S", 5.0, "An order still open after a cancel is cancelled again.", minimum=0.05),
        _seconds("DGBOT_ANSWER_TIMEOUT_S", 8.0, "An exchange's answer that takes longer is not waited for.", minimum=0.2, maximum=60),
        _seconds("DGBOT_RUN_LEASE_S", 20.0, "Life of a backtest worker's lease.", minimum=0.5),
        _seconds("DGBOT_RUN_RETRY_S", 10.0, "Pause before a failed backtest is tried again; doubles each time."),
        _seconds("DGBOT_RUN_LIMIT_S", 3600.0, "A backtest or sweep that works for longer is given up.", minimum=1, maximum=86_400),
        _seconds("DGBOT_HEARTBEAT_S", 5.0, "Pause between two heartbeats of a process.", minimum=0.5, maximum=300),
        Variable(
            "DGBOT_SIMULATED_FAST_SLOTS",
            "Simulated slots at one a second, then one a minute.",
            "integer",
            300,
            minimum=0,
            maximum=1_000_000,
        ),
    ),
}
VARIABLES = {variable.name: variable for section in SECTIONS.values() for variable in section}


@dataclass(frozen=True)
class Effective:
    """What holds for one variable, and where it came from: default, .env, environment or a file's path."""

    variable: Variable
    value: Any = field(repr=False)  # a traceback or a debug page prints the environment
    origin: str

    @property
    def shown(self) -> str:
        """The value for the eye; secrets are masked."""
        if self.variable.secret:
            return MASK if self.value else ""
        return _as_text(self.value)


@dataclass(frozen=True)
class Environment:
    """The parsed environment. `environment["NAME"]` is the typed value."""

    entries: Mapping[str, Effective] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.entries[name].value

    def __iter__(self) -> Iterator[Effective]:
        return iter(self.entries.values())

    def origin(self, name: str) -> str:
        """Where the value of `name` came from."""
        return self.entries[name].origin


def load(variables: Mapping[str, str] | None = None, *, dotenv: Path | None = BASE_DIR / ".env") -> Environment:
    """Read the environment over `.env` over the defaults.

    Raises BadInput naming every problem: malformed values, unknown DGBOT_ names, unreadable secret files.
    """
    given = dict(os.environ if variables is None else variables)
    written = read_dotenv(dotenv)
    problems = _unknown_names({**written, **given})
    entries = {}
    for variable in VARIABLES.values():
        try:
            entries[variable.name] = _effective(variable, given, written)
        except BadInput as problem:
            problems.append(str(problem))
    problems += _crash_problems(entries)
    if problems:
        raise BadInput("; ".join(problems))
    return Environment(entries)


def read_dotenv(path: Path | None) -> dict[str, str]:
    """The assignments in a .env file; none when there is no such file."""
    if path is None or not path.is_file():
        return {}

    class Reader(environ.Env):
        ENVIRON: dict[str, str] = {}

    Reader.read_env(str(path), parse_comments=True)
    return Reader.ENVIRON


def example() -> str:
    """The text of `.env.example`."""
    lines = ["# Copy to .env and change what you need; the environment wins over it. Secrets may come from NAME_FILE instead."]
    for title, section in SECTIONS.items():
        lines += ["", f"# --- {title} ---"]
        for variable in section:
            lines += [f"# {variable.help}{_allowed(variable)}", f"#{variable.name}={_as_text(variable.default)}"]
    return "\n".join(lines) + "\n"


def _unknown_names(names: Mapping[str, str]) -> list[str]:
    known = set(VARIABLES) | {f"{name}_FILE" for name, variable in VARIABLES.items() if variable.secret}
    return [_unknown(name, known) for name in sorted(names) if name.startswith(OURS) and name not in known]


def _unknown(name: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(name, [known_name for known_name in known if known_name.startswith(OURS)], n=1, cutoff=0.5)
    return f"{name} is not a setting of dgbot" + (f"; did you mean {nearest[0]}?" if nearest else "; see .env.example")


def _crash_problems(entries: Mapping[str, Effective]) -> list[str]:
    """A process that ends on purpose is for tests: the image has none, and their exchanges are on this machine."""
    wanted = entries.get("DGBOT_CRASH_AT")
    if wanted is None or wanted.value is None:
        return []
    addresses = [entries[name].value for name in ("DGBOT_UPBIT_URL", "DGBOT_BITGET_URL") if name in entries]
    if (BASE_DIR / "tests").is_dir() and all(urlsplit(address).hostname in LOOPBACK for address in addresses):
        return []
    return [
        "DGBOT_CRASH_AT ends processes on purpose and is taken only in a test build (one with the folder tests) whose"
        " DGBOT_UPBIT_URL and DGBOT_BITGET_URL are on this machine; unset it"
    ]


def _effective(variable: Variable, given: Mapping[str, str], written: Mapping[str, str]) -> Effective:
    for origin, source in (("environment", given), (".env", written)):
        text, path = source.get(variable.name, "").strip(), source.get(f"{variable.name}_FILE", "").strip() if variable.secret else ""
        if text and path:
            raise BadInput(f"{variable.name} and {variable.name}_FILE are both set; keep one")
        if path:
            return Effective(variable, _parse(variable, _secret_from(variable, Path(path))), path)
        if text:
            return Effective(variable, _parse(variable, text), origin)
    return Effective(variable, variable.default, "default")


def _secret_from(variable: Variable, path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{variable.name}_FILE names {path}, which cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not text:
        raise BadInput(f"{variable.name}_FILE names {path}, which is empty")
    return text


def _parse(variable: Variable, text: str) -> Any:
    return PARSERS[variable.kind](variable, text)


def _refusal(variable: Variable, must: str, text: str) -> BadInput:
    return BadInput(f"{variable.name} must {must}, was " + ("something else" if variable.secret else repr(text)))


def _parse_text(variable: Variable, text: str) -> str:
    if variable.choices and text not in variable.choices:
        raise _refusal(variable, f"be one of {', '.join(variable.choices)}", text)
    if variable.pattern == "base32" and not (len(text) == 3 and set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")):
        raise _refusal(variable, "be three characters of A-Z and 2-7", text)
    return text


def _parse_boolean(variable: Variable, text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise _refusal(variable, "be true or false", text)
    return text.lower() in TRUE


def _parse_integer(variable: Variable, text: str) -> int:
    try:
        return int(_bounded(variable, int(text), text))
    except ValueError:
        raise _refusal(variable, f"be a whole number{_range(variable)}", text) from None


def _parse_number(variable: Variable, text: str) -> float:
    try:
        return float(_bounded(variable, float(text), text))
    except ValueError:
        raise _refusal(variable, f"be a number{_range(variable)}", text) from None


def _parse_decimal(variable: Variable, text: str) -> Decimal:
    try:
        value = Decimal(text)
        _bounded(variable, float(value), text)
    except InvalidOperation:
        raise _refusal(variable, f"be a number{_range(variable)}", text) from None
    return value


def _bounded(variable: Variable, value: float, text: str) -> float:
    if variable.minimum is not None and variable.maximum is not None and variable.minimum <= value <= variable.maximum:
        return value
    raise _refusal(variable, f"be{_range(variable)}", text)  # NaN lands here, too


def _parse_list(_: Variable, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_path(_: Variable, text: str) -> Path:
    return Path(text).expanduser().absolute()


def _parse_timezone(variable: Variable, text: str) -> str:
    if text not in available_timezones():
        raise _refusal(variable, "be a time zone such as Asia/Seoul", text)
    return text


def _parse_url(variable: Variable, text: str) -> str:
    if text.partition("://")[0] not in variable.schemes:
        raise _refusal(variable, f"begin with {' or '.join(scheme + '://' for scheme in variable.schemes)}", text)
    return text


def _parse_crash(_: Variable, text: str) -> crash.Crash:
    return crash.parse(text)


PARSERS = {
    "crash": _parse_crash,
    "text": _parse_text,
    "boolean": _parse_boolean,
    "integer": _parse_integer,
    "number": _parse_number,
    "decimal": _parse_decimal,
    "list": _parse_list,
    "path": _parse_path,
    "timezone": _parse_timezone,
    "url": _parse_url,
}


def _range(variable: Variable) -> str:
    return f" from {_as_text(variable.minimum)} to {_as_text(variable.maximum)}" if variable.minimum is not None else ""


def _allowed(variable: Variable) -> str:
    if variable.kind == "boolean":
        return " true or false."
    if variable.choices:
        return f" One of {', '.join(variable.choices)}."
    return f" Allowed:{_range(variable)}." if variable.minimum is not None else ""


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if value < 1e6 else f"{value:.0f}"
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)


def main(arguments: list[str]) -> int:
    """Print `.env.example` (--example) or the effective environment (plain or --json)."""
    if "--example" in arguments:
        sys.stdout.write(example())
        return 0
    try:
        rows = [(entry.variable.name, entry.shown, entry.origin) for entry in load()]
    except BadInput as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    if "--json" in arguments:
        sys.stdout.write(json.dumps({name: {"value": value, "origin": origin} for name, value, origin in rows}) + "\n")
        return 0
    for name, value, origin in rows:
        sys.stdout.write(f"{name:30} {value:40} {origin}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
