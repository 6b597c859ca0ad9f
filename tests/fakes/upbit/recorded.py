"""Real answers of Upbit, recorded by others, served again in the order they were recorded."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.core.server import Answer, Request

Interaction = dict[str, Any]


def load(folder: Path) -> dict[str, list[Interaction]]:
    """Recorded interactions by endpoint (`GET /v1/order`), file by file in the order of their names."""
    found: dict[str, list[Interaction]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        for interaction in json.loads(path.read_text()).get("interactions", ()):
            request = interaction["request"]
            found[f"{request['method']} {urlsplit(request['uri']).path}"].append(interaction)
    return dict(found)


class RecordedUpbit:
    """A dialect for FakeServer: each endpoint answers what was recorded, one after the other, the last one for ever."""

    def __init__(self, interactions: dict[str, list[Interaction]]) -> None:
        self._left = {endpoint: list(recorded) for endpoint, recorded in interactions.items()}

    def __call__(self, request: Request) -> Answer:
        """The next recorded answer of the endpoint; 404 where nothing was recorded."""
        left = self._left.get(request.endpoint)
        if not left:
            return Answer(404, {"error": {"name": 404, "message": f"nothing was recorded for {request.endpoint}"}})
        response = (left.pop(0) if len(left) > 1 else left[0])["response"]
        headers = {name: value for name, value in response["headers"].items() if name in ("Remaining-Req", "Limit-By-Ip")}
        return Answer(response["status"], response["body"], headers=headers, content_type="application/json;charset=UTF-8")


def shape(value: Any) -> Any:
    """Keys and JSON types without the values, the first row standing for its list; whole and broken numbers are one type."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in sorted(value.items())}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def frames(paths: Iterable[Path]) -> list[str]:
    """Recorded websocket frames, as text."""
    return [line for path in paths for line in path.read_text().splitlines() if line]
