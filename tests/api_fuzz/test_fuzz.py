"""All phases in every role: no answer of 5xx, none that the OpenAPI document does not promise."""

import pytest

from dgbot.accounts import roles
from tests import face_rows
from tests.api_client import access_token
from tests.api_fuzz.runs import fuzz
from tests.scale import scale
from trading.seeds import create_schedules, create_settings

FEWEST = scale(sample=300, full=2_000)  # cases in each role


@pytest.mark.timeout(3600)
@pytest.mark.django_db(transaction=True, databases=["default", "venue"])
@pytest.mark.parametrize("role", list(roles.ROLES))
def test_whatever_is_asked_the_answer_is_as_promised(live_server, settings, tmp_path, role):
    settings.API_PER_MINUTE = settings.API_LOGINS_PER_MINUTE = 1_000_000
    create_settings()
    create_schedules()
    somebody = face_rows.user(role=role)
    for _ in range(3):
        face_rows.trade(face_rows.bot(somebody))

    cases = fuzz(
        live_server.url,
        token=access_token(somebody),
        folder=tmp_path,
        phases="examples,coverage,fuzzing,stateful",
        examples=scale(sample=3, full=12),
    )

    assert cases >= FEWEST
