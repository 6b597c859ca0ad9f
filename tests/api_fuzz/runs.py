"""One run of Schemathesis against a running server, as one user."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "openapi.yaml"
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("response_headers_conformance", "unsupported_method", "allow_header_conformance"),
)
# These end the very login that asks, or all of them: tests/contracts/test_api_doors.py has them.
LEFT_OUT = "/api/v1/(auth/logout.*|me/password)"
SEED = 20261121


def fuzz(url: str, *, token: str, folder: Path, phases: str, examples: int, seed: int = SEED) -> int:
    """How many cases were tried. Raises AssertionError with what Schemathesis told when one of them broke the document's promises."""
    report = folder / "report.ndjson"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(DOCUMENT), "--url", url, "--header", f"Authorization: Bearer {token}"),
        *("--phases", phases, "--max-examples", str(examples), "--checks", ",".join(CHECKS), "--seed", str(seed), "--no-shrink"),
        *("--exclude-path-regex", LEFT_OUT, "--suppress-health-check", "all", "--request-timeout", "60", "--warnings", "off"),
        *("--report-ndjson-path", str(report), "--continue-on-failure", "--generation-database", "none"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "160"}, cwd=folder, check=False)
    assert ran.returncode == 0, ran.stdout[-12_000:] + ran.stderr[-4_000:]
    return _cases(ran.stdout, report)


def _cases(told: str, report: Path) -> int:
    found = re.search(r"(\d+) generated", told)
    return int(found[1]) if found else sum(1 for line in report.read_text().splitlines() if "interaction" in json.loads(line))
