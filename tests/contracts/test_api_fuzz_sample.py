"""A few cases of what `scripts/test.sh api-fuzz` tries by the thousand."""

import pytest

from tests import face_rows
from tests.api_client import access_token
from tests.api_fuzz.runs import fuzz


@pytest.mark.django_db(transaction=True, databases=["default", "venue"])
def test_whatever_is_asked_the_answer_is_as_promised(live_server, settings, tmp_path):
    settings.API_PER_MINUTE = 1_000_000
    somebody = face_rows.user(is_superuser=True)
    face_rows.trade(face_rows.bot(somebody))

    assert fuzz(live_server.url, token=access_token(somebody), folder=tmp_path, phases="fuzzing", examples=1) >= 80
