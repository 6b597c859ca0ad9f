"""Django's settings. Every variable comes through `dgbot.env`; nothing else reads the environment."""

import os
import secrets
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import environ
from cryptography.fernet import Fernet

from dgbot import env, reporting
from dgbot.core import crash
from dgbot.local.paths import Places, default_data_dir

BASE_DIR = env.BASE_DIR
ENV = env.load()
crash.arm(ENV["DGBOT_CRASH_AT"])
DATA_DIR: Path = ENV["DGBOT_DATA_DIR"] or default_data_dir(BASE_DIR)
PLACES = Places(DATA_DIR)
os.environ.setdefault("NUMBA_CACHE_DIR", str(DATA_DIR / "numba"))  # numba reads it when it is first imported, long after this
BACKUP_DIR: Path = ENV["DGBOT_BACKUP_DIR"] or DATA_DIR / "backups"
PROCESS: str = ENV["DGBOT_PROCESS"]
DEBUG: bool = ENV["DGBOT_DEBUG"]
# The web process, and commands by hand; those over candles alone start a third of a second earlier without its pages.
SHOWS_ADMIN = PROCESS == "web" or not (PROCESS or ENV["DGBOT_SUPERVISED"] or sys.argv[1:2] in (["backtest"], ["optimize"]))

# --- Ours ---
LIVE_TRADING: bool = ENV["DGBOT_LIVE_TRADING"]  # the bot's mode is the other switch
TWO_PERSON: bool = ENV["DGBOT_TWO_PERSON"]
ENTRIES_PER_MINUTE: int = ENV["DGBOT_ENTRIES_PER_MINUTE"]
BOT_ENTRIES_PER_MINUTE: int = ENV["DGBOT_BOT_ENTRIES_PER_MINUTE"]
OPENAI_API_KEY: str = ENV["OPENAI_API_KEY"]
OPENAI_BASE_URL: str = ENV["OPENAI_BASE_URL"]
AI_HOSTS: tuple[str, ...] = ENV["DGBOT_AI_HOSTS"]
RISK_TIMEZONE: str = ENV["DGBOT_RISK_TIMEZONE"]
DEPLOYMENT: str = ENV["DGBOT_DEPLOYMENT"]
METRICS_TOKEN: str = ENV["DGBOT_METRICS_TOKEN"]
TELEGRAM_BOT_TOKEN: str = ENV["TELEGRAM_BOT_TOKEN"] if ENV["TELEGRAM_ENABLED"] else ""
TELEGRAM_CHAT_ID: str = ENV["TELEGRAM_CHAT_ID"]
TELEGRAM_URL: str = ENV["DGBOT_TELEGRAM_URL"] or "https://api.telegram.org"
SLACK_WEBHOOK_URL: str = ENV["SLACK_WEBHOOK_URL"]
SMTP_HOST: str = ENV["SMTP_HOST"]
SMTP_PORT: int = ENV["SMTP_PORT"]
SMTP_USER: str = ENV["SMTP_USER"]
SMTP_PASSWORD: str = ENV["SMTP_PASSWORD"]
SMTP_FROM_ADDR: str = ENV["SMTP_FROM_ADDR"]
PRIVATE_ADDRESSES: bool = ENV["DGBOT_PRIVATE_ADDRESSES"]
TRADING_SYMBOL: str = ENV["TRADING_SYMBOL"]
TRADING_AMOUNT = ENV["TRADING_AMOUNT"]
SCHEDULER_ENABLED: bool = ENV["SCHEDULER_ENABLED"]
SCHEDULER_INTERVAL_MINUTES: int = ENV["SCHEDULER_INTERVAL_MINUTES"]
GATEWAY_SWEEP_S: float = ENV["DGBOT_GATEWAY_SWEEP_S"]
GATEWAY_THREADS: int = ENV["DGBOT_GATEWAY_THREADS"]
RECONCILE_ORDERS_S: float = ENV["DGBOT_RECONCILE_ORDERS_S"]
RECONCILE_FILLS_S: float = ENV["DGBOT_RECONCILE_FILLS_S"]
RECONCILE_BALANCES_S: float = ENV["DGBOT_RECONCILE_BALANCES_S"]
GUARDIAN_TICK_S: float = ENV["DGBOT_GUARDIAN_TICK_S"]
LEASE_S: float = ENV["DGBOT_LEASE_S"]
CYCLE_LEASE_S: float = ENV["DGBOT_CYCLE_LEASE_S"]
SUBMIT_TIMEOUT_S: float = ENV["DGBOT_SUBMIT_TIMEOUT_S"]
ENTRY_PERMIT_S: float = ENV["DGBOT_ENTRY_PERMIT_S"]
EXIT_PERMIT_S: float = ENV["DGBOT_EXIT_PERMIT_S"]
ABANDONED_AFTER_S: float = ENV["DGBOT_ABANDONED_AFTER_S"]
VISIBLE_WITHIN_S: float = ENV["DGBOT_VISIBLE_WITHIN_S"]
DISPUTE_AFTER_S: float = ENV["DGBOT_DISPUTE_AFTER_S"]
ABSENT_HOLD_S: float = ENV["DGBOT_ABSENT_HOLD_S"]
CANCEL_AGAIN_S: float = ENV["DGBOT_CANCEL_AGAIN_S"]
ANSWER_TIMEOUT_S: float = ENV["DGBOT_ANSWER_TIMEOUT_S"]
HEARTBEAT_S: float = ENV["DGBOT_HEARTBEAT_S"]
KEY_FILE: Path = ENV["DGBOT_KEY_FILE"] or DATA_DIR / "sealing.key"  # private: opens; the gateway's alone
PUBLIC_KEY_FILE = DATA_DIR / "sealing.pub"  # seals; anybody may read it
SIMULATED_FAST_SLOTS: int = ENV["DGBOT_SIMULATED_FAST_SLOTS"]


def _kept_secret(name: str, make: Callable[[], str]) -> str:
    """A secret generated for this data folder. Only its owner may read it; two first starts agree on one."""
    path = DATA_DIR / name
    try:
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{name}.{secrets.token_hex(4)}")
        if not path.exists():
            draft.touch(mode=0o600)
            draft.write_text(make())
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                pass  # another process was first; its key holds
            finally:
                draft.unlink()
        return path.read_text()
    except OSError:
        return make()  # a data folder that cannot be written is a system check's sentence, not a traceback


SECRET_KEY = ENV["DGBOT_SECRET_KEY"] or _kept_secret("secret_key", lambda: secrets.token_urlsafe(50))
FIELD_KEYS: list[str] = list(ENV["DGBOT_FIELD_KEYS"]) or [_kept_secret("field_key", lambda: Fernet.generate_key().decode())]
SECRET_KEY_FALLBACKS = list(ENV["DGBOT_SECRET_KEY_FALLBACKS"])

# --- Applications ---
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "unfold",  # before the admin whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    # The admin's pages are loaded where they are shown; the others keep its models, start faster and import less.
    "django.contrib.admin" if SHOWS_ADMIN else "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_prometheus",
    "channels",
    "django_otp",
    "axes",
    "csp",
    # Shapes and pages of the API; whoever does not serve it does without.
    *(["rest_framework", "django_filters", "drf_spectacular", "drf_spectacular_sidecar"] if SHOWS_ADMIN else []),
    "dgbot.accounts",
    "risk",
    "backtests",
    "trading",
    "monitoring",
    "dgbot",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "monitoring.system.requests.AnswersCounted",
    "django.middleware.security.SecurityMiddleware",
    "dgbot.base.headers.Guard",
    "dgbot.base.headers.ContentPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "dgbot.accounts.sign_ins.TimeOut",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it turns a refused login into the page that says how long it waits
]
ROOT_URLCONF = "dgbot.urls"
ASGI_APPLICATION = "dgbot.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "monitoring.context.running_bots",
            ],
        },
    },
]
PROMETHEUS_EXPORT_MIGRATIONS = False  # would query the database at every import
SILENCED_SYSTEM_CHECKS: list[str] = []

# --- PostgreSQL: the one database engine ---
LONG_RUNNING = ("worker", "gateway", "guardian", "ticker", "notifier")


def _database(url: str) -> dict[str, Any]:
    parts = environ.Env.db_url_config(url)
    return {
        **parts,
        "HOST": unquote(parts["HOST"]),  # the folder of a unix socket
        "ENGINE": "django.db.backends.postgresql",
        # Under ASGI every request may come on another thread, so kept connections would pile up.
        "CONN_MAX_AGE": 60 if PROCESS in LONG_RUNNING else 0,
        "CONN_HEALTH_CHECKS": True,
        # A pooler gives the next page of a cursor to another session.
        "DISABLE_SERVER_SIDE_CURSORS": bool(ENV["DATABASE_DIRECT_URL"]),
        "OPTIONS": {"connect_timeout": 5, "application_name": f"dgbot {PROCESS or 'manage'}"},
    }


DATABASES = {"default": _database(ENV["DATABASE_URL"] or PLACES.database_url())}
# What a pretended exchange remembers goes through a connection and commits of its own, as to a remote exchange.
DATABASES["venue"] = {**DATABASES["default"], "TEST": {"MIRROR": "default"}}
DATABASE_ROUTERS = ["trading.routers.VenueRouter"]
# Session locks need a session of their own, past any pooler.
DATABASE_DIRECT = _database(ENV["DATABASE_DIRECT_URL"] or ENV["DATABASE_URL"] or PLACES.database_url())

# --- Redis: broker 0, news for dashboards 1, cache 2; may be lost at any moment ---
BROKER_DB, NEWS_DB, CACHE_DB = 0, 1, 2


def _redis_url(database: int) -> str:
    """URL of one logical database of the Redis in use, as redis-py reads it."""
    base = (ENV["REDIS_URL"] or PLACES.redis_url()).partition("?")[0]
    if base.startswith("unix://"):
        return f"{base}?db={database}"
    scheme, _, rest = base.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{database}"


REDIS_URLS = tuple(_redis_url(number) for number in (BROKER_DB, NEWS_DB, CACHE_DB))
NEWS_URL, CACHE_URL = _redis_url(NEWS_DB), _redis_url(CACHE_DB)  # doorbells and budgets share the cache's database


def _broker_url() -> str:
    url = _redis_url(BROKER_DB)
    if url.startswith("unix://"):
        return url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
    return url


CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "dgbot",
        "OPTIONS": {"serializer": "dgbot.base.cache.JsonSerializer"},
    },
}

# --- Celery ---
QUEUES = ("cycles", "backtests", "data_ingestion", "notifications", "default")
TASK_TIME_LIMIT_S = 600
CELERY_BROKER_URL = _broker_url()
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": "dgbot:",
    # A task that outlives this is given to a second worker while the first still runs, so it exceeds the hard limit.
    "visibility_timeout": TASK_TIME_LIMIT_S + 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,  # by default only every tenth sweep looks, 100 s apart
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
CELERY_TASK_QUEUES: dict[str, Any] = {name: {} for name in QUEUES}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_CREATE_MISSING_QUEUES = False  # a mistyped queue fails at once instead of filling unread
CELERY_TASK_ROUTES = {
    "trading.tasks.take_snapshots": {"queue": "default"},
    "trading.tasks.compare_with_engine": {"queue": "backtests"},
    "trading.tasks.*": {"queue": "cycles"},
    "backtests.tasks.sync*": {"queue": "data_ingestion"},
    "backtests.tasks.import*": {"queue": "data_ingestion"},
    "trading.tasks.refresh_krw_rates": {"queue": "data_ingestion"},
    "backtests.tasks.watch_jobs": {"queue": "default"},
    "backtests.tasks.upload_results": {"queue": "default"},
    "backtests.tasks.clean_up_results": {"queue": "default"},
    "backtests.tasks.*": {"queue": "backtests"},
    "monitoring.tasks.notify*": {"queue": "notifications"},
    "monitoring.tasks.*": {"queue": "default"},
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = TASK_TIME_LIMIT_S
CELERY_TASK_SOFT_TIME_LIMIT = TASK_TIME_LIMIT_S - 30
CELERY_RESULT_EXPIRES = None  # no results, so no clean-up job among the schedules
CELERY_TASK_IGNORE_RESULT = True  # what an operator must see lies in our own tables
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False  # tasks are idempotent; one killed half-way gains nothing
CELERY_TIMEZONE = "Asia/Seoul"
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "dgbot.beat.LockedScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # an edit in the admin is effective within that
CELERY_BEAT_SYNC_EVERY = 1  # the last run is written after each: a killed beat repeats at most one

# --- Language and time ---
LANGUAGE_CODE = "en"
LANGUAGES = [("ko", "한국어"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- Static files ---
STATIC_URL = "static/"
STATIC_ROOT = PLACES.static
_litecharts = find_spec("litecharts")
STATICFILES_DIRS: list[Any] = [("vendor/lwc", Path(_litecharts.origin).parent / "js")] if _litecharts and _litecharts.origin else []
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dgbot.statics.CollectedOrPlainStorage"},
}
if ENV["AWS_BUCKET_NAME"]:
    STORAGES["results_bucket"] = {
        "BACKEND": "backtests.storage.bucket.ResultBucket",
        "OPTIONS": {
            "bucket_name": ENV["AWS_BUCKET_NAME"],
            "region_name": ENV["AWS_REGION"],
            "access_key": ENV["AWS_ACCESS_KEY_ID"] or None,
            "secret_key": ENV["AWS_SECRET_ACCESS_KEY"] or None,
            "endpoint_url": ENV["DGBOT_S3_URL"] or None,
        },
    }
RESULT_DAYS: int = ENV["DGBOT_RESULT_DAYS"]
RUN_ATTEMPTS: int = ENV["DGBOT_RUN_ATTEMPTS"]
RUN_LEASE_S: float = ENV["DGBOT_RUN_LEASE_S"]
RUN_RETRY_S: float = ENV["DGBOT_RUN_RETRY_S"]
RUN_LIMIT_S: float = ENV["DGBOT_RUN_LIMIT_S"]
MEDIA_ROOT = DATA_DIR / "media"
WHITENOISE_USE_FINDERS = DEBUG or not (STATIC_ROOT / "staticfiles.json").exists()  # uncollected files are served from where they lie
WHITENOISE_AUTOREFRESH = DEBUG

# --- Doors ---
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PROXIES: int = ENV["DGBOT_PROXIES"]
SECOND_FACTOR_S: int = ENV["DGBOT_SECOND_FACTOR_S"]
SESSION_IDLE_MINUTES: int = ENV["DGBOT_SESSION_IDLE_MINUTES"]
SESSION_HOURS: int = ENV["DGBOT_SESSION_HOURS"]
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
# Wrong passwords are counted in the database, by name and by address: without it nobody can log in anyway.
AXES_FAILURE_LIMIT: int = ENV["DGBOT_LOGIN_ATTEMPTS"]
AXES_COOLOFF_TIME = timedelta(minutes=ENV["DGBOT_LOGIN_WAIT_MINUTES"])
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or whoever goes on guessing keeps the owner out for ever
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "dgbot.base.visitors.address_of"
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_DISABLE_ACCESS_LOG = True  # our audit log says who logged in
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
ALLOWED_HOSTS = [*ENV["DGBOT_ALLOWED_HOSTS"], "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = list(ENV["DGBOT_CSRF_TRUSTED_ORIGINS"])
HTTPS: bool = ENV["DGBOT_HTTPS"]
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]  # asked from inside, over plain HTTP
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_NAME = "dgbot_session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CONTENT_SECURITY_POLICY = {  # of our own pages; `dgbot.base.headers` loosens it for the admin's skin
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='"],  # the chart library's own, for its logo
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "dgbot.hiding.HidingFilter"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

# --- API ---
API_PER_MINUTE: int = ENV["DGBOT_API_PER_MINUTE"]
API_LOGINS_PER_MINUTE: int = ENV["DGBOT_API_LOGINS_PER_MINUTE"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "dgbot.base.rest.authentication.BearerAuthentication",
        "dgbot.base.rest.authentication.PageAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["dgbot.base.rest.needs.HasWhatItNeeds"],
    "DEFAULT_THROTTLE_CLASSES": ["dgbot.base.rest.throttles.UserThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["dgbot.base.rest.parsing.JsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "dgbot.base.rest.parsing.AlwaysJson",
    "DEFAULT_SCHEMA_CLASS": "dgbot.base.rest.schema.HouseSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "dgbot.base.rest.errors.answer",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "dgbot",
    "DESCRIPTION": "Bots, orders, risk and monitoring of one platform. Decimals travel as text, times as ISO 8601 in UTC; see docs/api.md.",
    "VERSION": "1",
    "LICENSE": {"name": "MIT"},
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "Mode": "dgbot.base.choices.MODES",
        "Interval": "backtests.models.INTERVALS",
        "JobStatus": "backtests.models.JobStatus",
        "BotStatus": "trading.models.BotStatus",
        "CycleStatus": "trading.models.CycleStatus",
        "OrderStatus": "trading.models.orders.STATUSES",
        "TradeStatus": "trading.models.trades.TradeStatus",
        "Purpose": "dgbot.base.choices.PURPOSES",
        "Side": "dgbot.base.choices.SIDES",
        "KillLevel": "risk.models.KillLevel",
        "LogLevel": "monitoring.models.LogLevel",
    },
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "dgbot.base.rest.schema.finish"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": True, "docExpansion": "none", "displayOperationId": False},
}

# --- Logs ---
LOG_HANDLERS = ([] if ENV["DGBOT_SUPERVISED"] else ["console"]) + (["file"] if PROCESS else [])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "dgbot.logs.UtcFormatter"}, "json": {"()": "dgbot.logs.JsonFormatter", "process": PROCESS}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": ENV["DGBOT_LOG_FORMAT"]},
        **(
            {
                "file": {
                    "class": "dgbot.logs.ProcessFileHandler",
                    "formatter": ENV["DGBOT_LOG_FORMAT"],
                    "folder": str(PLACES.logs),
                    "process": PROCESS,
                }
            }
            if PROCESS
            else {}
        ),
        # monitoring.logs attaches the log in the database once the apps are ready
    },
    "root": {"handlers": LOG_HANDLERS, "level": ENV["DGBOT_LOG_LEVEL"]},
    "loggers": {
        "django.server": {"handlers": [], "propagate": True},
        "django.request": {"level": "ERROR"},  # 4xx are the visitor's
        "asyncio": {"level": "WARNING"},
        "axes": {"level": "WARNING"},  # a line per login
        # A line per task, every second, adds nothing to the rows that tasks write.
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}

# --- Admin ---
UNFOLD = {
    "SITE_TITLE": "dgbot",
    "SITE_HEADER": "dgbot",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": "/",
    "SHOW_HISTORY": False,  # of recent actions; the audit log says more
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "STYLES": ["monitoring.admin.style", "trading.admin.history.style"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "monitoring.admin.icon"}],
    "COLORS": {  # the blue of our pages
        "primary": {
            "50": "#eef4ff",
            "100": "#dbe7fe",
            "200": "#bfd4fe",
            "300": "#93b6fd",
            "400": "#7ba6ff",
            "500": "#4d82f5",
            "600": "#2463eb",
            "700": "#2056d6",
            "800": "#1e47ad",
            "900": "#1e3f88",
            "950": "#172853",
        },
    },
    "DASHBOARD_CALLBACK": "monitoring.admin.home",
    "ACCOUNT": {"navigation": "monitoring.admin.account_links"},
    "SIDEBAR": {"show_search": True, "show_all_applications": True, "navigation": "monitoring.admin.navigation"},
}

TESTING = "pytest" in sys.modules
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a login in a test need not take a quarter second
elif ENV["SENTRY_DSN"]:
    reporting.start(ENV["SENTRY_DSN"], process=PROCESS, deployment=DEPLOYMENT)
