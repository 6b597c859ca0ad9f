"""Every word of ours has its Korean, and the compiled catalogue is in step with it."""

import re
from pathlib import Path

import polib
import pytest

CATALOGUE = Path(__file__).parents[3] / "locale" / "ko" / "LC_MESSAGES" / "django.po"
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|<a href=\"\{\}\"")
ENTRIES = [entry for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete]


def texts(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_every_word_is_translated() -> None:
    missing = [entry.msgid for entry in ENTRIES if entry.fuzzy or not all(text.strip() for text in texts(entry))]

    assert missing == []


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if PLACEHOLDER.search(entry.msgid)], ids=lambda entry: entry.msgid[:40])
def test_placeholders_survive_translation(entry: polib.POEntry) -> None:
    for text in texts(entry):
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(entry.msgid))


def test_compiled_catalogue_is_in_step() -> None:
    compiled = polib.mofile(str(CATALOGUE.with_suffix(".mo")))

    found = {(entry.msgctxt, entry.msgid): texts(entry) for entry in compiled}
    assert found == {(entry.msgctxt, entry.msgid): texts(entry) for entry in ENTRIES}
