# One image, every process: docker-compose.yml says which.
FROM python:3.11-slim-bookworm AS packages
COPY requirements.txt /
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --requirement /requirements.txt

FROM python:3.11-slim-bookworm
# gettext compiles the translations; nothing else of the build stays.
RUN apt-get update && apt-get install --yes --no-install-recommends gettext tini && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home dgbot && install --directory --owner=dgbot /var/lib/dgbot /var/lib/dgbot-keys /var/lib/dgbot-backups
COPY --from=packages /venv /venv
COPY --chown=root:root . /app
WORKDIR /app
RUN python -m compileall -q dgbot trading risk backtests monitoring
RUN find locale -name '*.po' -exec sh -c 'msgfmt -o "${1%.po}.mo" "$1"' _ {} \;
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DGBOT_DATA_DIR=/var/lib/dgbot DJANGO_SETTINGS_MODULE=dgbot.settings
USER dgbot
ENTRYPOINT ["tini", "--"]
CMD ["python", "manage.py", "help"]
