"""Upload of candle files: a form, a preview of what would be stored, and only then the import."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core import signing
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminFileFieldWidget

from backtests.admin.words import NOTE_WORDS, REASON_WORDS
from backtests.candles.files import ENCODINGS, UTF8
from backtests.candles.importing import Imported, ImportOptions, read_file
from backtests.candles.numbers import THOUSANDS
from backtests.candles.picture import draw
from backtests.candles.timestamps import UNITS, ZONES
from backtests.selectors import archive_root
from backtests.services import candles
from dgbot.accounts import audit
from dgbot.core.errors import BadInput
from dgbot.core.interval import Interval

LARGEST_BYTES = 256 * 1024 * 1024
KEPT_FOR_S = 24 * 3600
SALT = "candle upload"
OPTION_FIELDS = {  # which field a refusal speaks of
    "--timezone": "timezone",
    "--time-unit": "time_unit",
    "--thousands": "thousands",
    "--encoding": "encoding",
    "--interval": "interval",
}
AS_WRITTEN = ("", _("as the file says"))


class UploadForm(forms.Form):
    """What the operator knows of a file. What is left open and not written in the file is asked for, never guessed."""

    file = forms.FileField(
        label=_("file"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=_("CSV (plain, .gz, .zip) or Parquet: ours, pyupbit's, ccxt's, Upbit's, Korean vendors'."),
    )
    exchange = forms.RegexField(r"^[a-z0-9_]{1,32}$", label=_("exchange"), initial="upbit")
    symbol = forms.CharField(label=_("symbol"), max_length=64, help_text=_("The exchange's own code, such as KRW-BTC."))
    interval = forms.ChoiceField(
        label=_("interval"), required=False, choices=[AS_WRITTEN, *((item.value, item.value) for item in Interval)]
    )
    timezone = forms.ChoiceField(
        label=_("time zone of the stamps"), required=False, choices=[AS_WRITTEN, *((zone, zone) for zone in ZONES)]
    )
    time_unit = forms.ChoiceField(
        label=_("unit of numeric stamps"), required=False, choices=[AS_WRITTEN, *((unit, unit) for unit in UNITS)]
    )
    thousands = forms.ChoiceField(
        label=_("comma separates thousands"), required=False, choices=[AS_WRITTEN, *((item, item) for item in THOUSANDS)]
    )
    encoding = forms.ChoiceField(label=_("text encoding"), choices=[(item, item) for item in ENCODINGS], initial=UTF8)
    drop_newest = forms.BooleanField(
        label=_("leave out the newest candle"), required=False, help_text=_("It was still forming when the file was written.")
    )
    replace = forms.BooleanField(
        label=_("overwrite stored candles that differ"), required=False, help_text=_("Each correction is recorded.")
    )

    def clean_file(self) -> UploadedFile:
        """Not larger than a long history."""
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > LARGEST_BYTES:
            raise forms.ValidationError(
                _("The file has %(size)d MB, over the limit of %(limit)d MB; split it or use manage.py import_candles.")
                % {"size": (file.size or 0) // 2**20, "limit": LARGEST_BYTES // 2**20}
            )
        return file

    def refuse(self, error: BadInput) -> None:
        """Show the sentence at the field whose option it names."""
        field = next((field for option, field in OPTION_FIELDS.items() if option in str(error)), "file")
        self.add_error(field, str(error))


def view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """GET: the form. POST with a file: the preview. POST with its token: the import."""
    if request.method == "POST" and "token" in request.POST:
        return _store(model_admin, request)
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        kept = _keep(form.cleaned_data["file"])
        try:
            return _preview(model_admin, request, form, kept)
        except BadInput as error:
            kept.unlink()
            form.refuse(error)
    context = {**_context(model_admin, request), "title": gettext("Upload candles"), "form": form}
    return TemplateResponse(request, "backtests/upload.html", context, status=200 if not form.errors else 422)


def _preview(model_admin: Any, request: HttpRequest, form: UploadForm, kept: Path) -> HttpResponse:
    said = form.cleaned_data
    told = {
        "file": kept.name,
        "name": Path(str(said["file"].name)).name,
        "user": request.user.pk,
        **{name: said[name] for name in ("exchange", "symbol", "replace")},
        "options": {name: said[name] or None for name in ("interval", "timezone", "time_unit", "thousands")}
        | {"encoding": said["encoding"], "drop_newest": said["drop_newest"]},
    }
    imported = _read(told)
    context = {
        **_context(model_admin, request),
        "title": gettext("Store these candles?"),
        "token": signing.dumps(told, salt=SALT),
        "told": told,
        "report": imported.report,
        "first": imported.candles.candle(0),
        "last": imported.candles.candle(len(imported.candles) - 1),
        "dropped": [(REASON_WORDS[dropped.reason], dropped) for dropped in imported.report.dropped],
        "notes": [NOTE_WORDS[note] for note in imported.report.notes],
        "picture": draw(imported.candles),
    }
    return TemplateResponse(request, "backtests/upload_preview.html", context)


def _store(model_admin: Any, request: HttpRequest) -> HttpResponse:
    try:
        told = signing.loads(request.POST["token"], salt=SALT, max_age=KEPT_FOR_S)
        if told["user"] != request.user.pk:
            raise signing.BadSignature
        outcome = candles.import_file(
            _folder() / told["file"],
            root=archive_root(),
            exchange=told["exchange"],
            symbol=told["symbol"],
            now=datetime.now(tz=UTC),
            options=_options(told),
            replace=told["replace"],
            source_name=told["name"],
        )
    except signing.BadSignature:
        messages.error(request, _("This preview is too old or not yours; upload the file again."))
        return redirect(request.path)
    except BadInput as error:
        messages.error(request, str(error))
        return redirect(request.path)
    (_folder() / told["file"]).unlink(missing_ok=True)
    counts = {"added": outcome.added, "replaced": outcome.replaced, "unchanged": outcome.unchanged}
    audit.record(actor=request.user, action="import candles", target=f"series:{outcome.series.pk}", reason=told["name"], diff=counts)
    messages.success(request, _("%(added)d candles added, %(replaced)d replaced, %(unchanged)d known already.") % counts)
    return redirect(reverse("admin:backtests_candleseries_change", args=[outcome.series.pk]))


def _read(told: dict[str, Any]) -> Imported:
    return read_file(
        _folder() / told["file"],
        exchange=told["exchange"],
        symbol=told["symbol"],
        now=datetime.now(tz=UTC),
        options=_options(told),
        name=told["name"],
    )


def _options(told: dict[str, Any]) -> ImportOptions:
    said = told["options"]
    return ImportOptions(**{**said, "interval": Interval(said["interval"]) if said["interval"] else None})


def _context(model_admin: Any, request: HttpRequest) -> dict[str, Any]:
    return {**model_admin.admin_site.each_context(request), "opts": model_admin.model._meta}


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "uploads"


def _keep(file: UploadedFile) -> Path:
    """Put the upload where the confirmation finds it, and sweep away what nobody confirmed."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        if time.time() - left.stat().st_mtime > KEPT_FOR_S:
            left.unlink(missing_ok=True)
    kept = folder / secrets.token_hex(16)
    with kept.open("wb") as target:
        for chunk in file.chunks():
            target.write(chunk)
    return kept
