"""What the OpenAPI document says beyond the shapes: errors, keys of repeated writes, and that unknown names are refused."""

import inspect
from typing import Any

from drf_spectacular.openapi import AutoSchema

from dgbot.base.rest.idempotency import HEADER, WRITES

STANDARD = ("list", "retrieve", "create", "update", "partial_update", "destroy")
REFERENCE = {"$ref": "#/components/schemas/Error"}
ERRORS: dict[str, tuple[str, str, str]] = {  # status → what, an example's code, its message
    "400": ("The input cannot be used", "invalid", "limit: It must be a whole number from 1 to 200."),
    "401": ("Nobody, or a token that does not hold", "token_invalid", "This token does not hold: it is unknown, has ended or was revoked."),
    "403": (
        "A scope or a permission is missing",
        "scope_missing",
        "This token has the scopes read and this needs trade; use a token that has it.",
    ),
    "404": ("Not there, or not yours to see", "not_found", "There is no such thing, or it is not yours to see."),
    "409": ("What is there does not allow it", "refused", "Bot demo was not paused: it is stopped, so it opens nothing anyway."),
    "413": ("The body is too large", "too_large", "The body is larger than the 256 KiB that are read."),
    "415": ("The body is not JSON", "unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
    "429": ("Too often; `Retry-After` says when again", "throttled", "Request was throttled. Expected available in 12 seconds."),
    "500": ("Our mistake; it is in the system log", "error", "Something went wrong here; it is in the system log."),
    "503": ("Something that is needed cannot be reached", "unavailable", "The queue cannot be reached, so no cycle was asked for."),
}
ERROR_SCHEMA = {
    "type": "object",
    "description": "Every error. Programs read `code`, people `message`; `fields` names wrong input, by its path.",
    "required": ["code", "message", "fields"],
    "properties": {
        "code": {"type": "string", "description": "Stable."},
        "message": {"type": "string", "description": "One sentence: the fact, the value, the limit and the remedy."},
        "fields": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    },
}
KEY_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Names this write: sent again with the same body it answers the same and does nothing;"
    " with another body it is refused (409). Kept 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


class HouseSchema(AutoSchema):
    """Tags by the first part of the address behind `/api/v1/`; a face may name its own with `tag`."""

    def get_operation_id(self) -> str:  # type: ignore[override]  # as the base class of this one has it
        """`bots_list`, `bots_create`; of an action of ours its name, `bots_start`."""
        name, action = str(super().get_operation_id()), getattr(self.view, "action", None)
        return name if action is None or action in STANDARD else name.rpartition("_")[0]

    def get_description(self) -> str:  # type: ignore[override]  # as the base class of this one has it
        """Of a list and of a single row, what the face says of itself."""
        if getattr(self.view, "action", "") in ("list", "retrieve"):
            return inspect.getdoc(type(self.view)) or ""
        return str(super().get_description() or "")

    def get_tags(self) -> list[str]:
        """One."""
        own = getattr(self.view, "tag", None)
        return [own] if own else super().get_tags()


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A post-processing hook: the errors of every operation, the keys of writes, closed inputs."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = ERROR_SCHEMA
    result["components"]["responses"] = {f"Error{status}": _response(status) for status in ERRORS}
    for path, item in result["paths"].items():
        for method, operation in item.items():
            _finish(path, method, operation)
            _close(operation, schemas)
    return result


def _response(status: str) -> dict[str, Any]:
    what, code, message = ERRORS[status]
    fields = {"limit": ["It must be a whole number from 1 to 200."]} if status == "400" else {}
    example = {"code": code, "message": message, "fields": fields}
    return {"description": what, "content": {"application/json": {"schema": REFERENCE, "example": example}}}


def _finish(path: str, method: str, operation: dict[str, Any]) -> None:
    is_write, is_login = method in WRITES, path.startswith("/api/v1/auth/")
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and parameter["name"] == "id":
            parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
    statuses = ["400", "401", "429", "500", "503"]
    if not is_login:
        statuses.append("403")
    is_plain = operation["operationId"].endswith(("_list", "_retrieve"))
    if "{" in path or is_write or not is_plain:
        statuses.append("404")
    if is_write or not is_plain:
        statuses.append("409")
    if is_write:
        statuses += ["413", "415"]
        if not is_login:
            operation.setdefault("parameters", []).append(KEY_PARAMETER)
    for status in sorted(statuses):
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/Error{status}"})


def _close(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = content.get("$ref", "").rpartition("/")[2]
    if name in schemas:
        schemas[name]["additionalProperties"] = False
