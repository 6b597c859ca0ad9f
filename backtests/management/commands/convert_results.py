"""Convert JSON results of the older platforms to Parquet, each file with its SHA-256."""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backtests.storage import old_results, tables
from dgbot.core.errors import BadInput

EXAMPLE = """example:
  manage.py convert_results results/*.json
  manage.py convert_results backtests/2025-03-01/result.json --into converted --json

Beside result.json stand afterwards result.trades.parquet, result.equity.parquet and result.meta.json, which holds everything else
and the SHA-256 of the two. The JSON itself stays.

exit codes: 0 all converted · 1 at least one was not, with one sentence each
"""


class Command(BaseCommand):
    """Reads files, writes files; the database is not asked."""

    help = "Convert old JSON results to Parquet."
    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the example's line breaks."""
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See --help."""
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON results.")
        parser.add_argument("--into", type=Path, metavar="DIR", help="Write there instead of beside each file.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Convert each; one that cannot be is told and does not stop the others."""
        done, refused = [], []
        for path in options["files"]:
            try:
                done.append(_converted(path, into=options["into"] or path.parent))
            except BadInput as error:
                refused.append({"file": str(path), "reason": str(error)})
        if options["json"]:
            self.stdout.write(json.dumps({"converted": done, "refused": refused}, ensure_ascii=False))
        else:
            for one in done:
                self.stdout.write(
                    f"{one['file']}: {one['trades']:,} trades, {one['points']:,} points, {one['share']:.1%} of the JSON's size"
                )
        if refused:
            raise CommandError(" ".join(f"{one['file']}: {one['reason']}" for one in refused))


def _converted(path: Path, *, into: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        found = old_results.read(json.loads(text))
        into.mkdir(parents=True, exist_ok=True)
        hashes, size = {}, 0
        for name, columns in (("trades", found.trades), ("equity", found.equity)):
            if columns:
                content = tables.encode_columns(columns)
                target = into / f"{path.stem}.{name}.parquet"
                target.write_bytes(content)
                hashes[target.name], size = sha256(content).hexdigest(), size + len(content)
        meta = json.dumps({"converted_from": path.name, "sha256": hashes, **found.rest}, ensure_ascii=False, indent=1)
        (into / f"{path.stem}.meta.json").write_text(meta, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{error.filename} cannot be used: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"{path.name} is no JSON: {error}.") from error
    points, trades = (len(next(iter(columns.values()), ())) for columns in (found.equity, found.trades))
    return {"file": str(path), "trades": trades, "points": points, "share": size / max(len(text), 1), "sha256": hashes}
