"""One question to an OpenAI-compatible endpoint: chat completions or responses. Returns what came back; understands nothing of it.

The client's own retries are off: a call whose answer is lost may have been paid, and whoever asks again must pay from the budget.
"""

import time
from dataclasses import dataclass
from typing import Any

from dgbot.base.outbound import pinned_client
from dgbot.core.errors import DgbotError
from trading.analyst.answers import SCHEMA

SCHEMA_NAME = "decision"
BYTES_OF_FORM = 1500  # roles, separators and the schema, which endpoints count as input, too


class AnalystFailed(DgbotError):
    """No usable answer. `may_be_paid`: the endpoint may have worked, and charges for it."""

    def __init__(self, message: str, *, may_be_paid: bool = False, usage: "Usage | None" = None) -> None:
        super().__init__(message)
        self.may_be_paid = may_be_paid
        self.usage = usage


@dataclass(frozen=True)
class Endpoint:
    """Where and whom to ask. base_url: empty for OpenAI's own. temperature: None leaves it to the model."""

    model: str
    api_key: str
    base_url: str
    uses_responses: bool
    timeout_s: float
    max_output_tokens: int
    temperature: float | None = None
    permitted: tuple[str, ...] | None = None  # hosts that may lie inside; None: the operator of this server chose the address


@dataclass(frozen=True)
class Usage:
    """Tokens as the endpoint counted them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Reply:
    """An answer as it came. latency_ms: machine time."""

    text: str
    model: str
    usage: Usage
    request_id: str
    latency_ms: int


def most_input_tokens(messages: list[dict[str, str]]) -> int:
    """No tokenizer makes more tokens than bytes, so this is never too few."""
    return sum(len(message["content"].encode()) for message in messages) + BYTES_OF_FORM


def ask(endpoint: Endpoint, messages: list[dict[str, str]]) -> Reply:
    """Ask once. Raises AnalystFailed for a refusal, a cut answer, an error, a time-out, or an answer without a text."""
    import openai  # half a second that only a process which asks should spend

    client = openai.OpenAI(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url or None,
        timeout=endpoint.timeout_s,
        max_retries=0,
        http_client=None if endpoint.permitted is None else pinned_client(permitted=endpoint.permitted, timeout=endpoint.timeout_s),
    )
    begun = time.monotonic()
    try:
        with client:
            text, model, usage, request_id = (_responses if endpoint.uses_responses else _chat)(client, endpoint, messages)
    except openai.APITimeoutError:
        raise AnalystFailed(f"no answer within {endpoint.timeout_s:g} s", may_be_paid=True) from None
    except openai.APIStatusError as error:
        raise AnalystFailed(f"the endpoint answered {error.status_code}: {_brief(error.message)}") from None
    except openai.APIConnectionError as error:
        raise AnalystFailed(f"the endpoint cannot be reached: {_brief(str(error.__cause__ or error))}", may_be_paid=True) from None
    except (openai.OpenAIError, ValueError, TypeError, AttributeError, LookupError) as error:
        # The client trusts the shape of an answer; HTML or half an object shows here as any of these.
        raise AnalystFailed(f"the endpoint's answer cannot be read: {type(error).__name__}", may_be_paid=True) from None
    return Reply(text=text, model=model, usage=usage, request_id=request_id, latency_ms=round((time.monotonic() - begun) * 1000))


def _chat(client: Any, endpoint: Endpoint, messages: list[dict[str, str]]) -> tuple[str, str, Usage, str]:
    raw = client.chat.completions.with_raw_response.create(
        model=endpoint.model,
        messages=messages,
        max_completion_tokens=endpoint.max_output_tokens,
        response_format={"type": "json_schema", "json_schema": {"name": SCHEMA_NAME, "strict": True, "schema": SCHEMA}},
        **_options(endpoint),
    )
    completion = raw.parse()
    usage = Usage(int(completion.usage.prompt_tokens), int(completion.usage.completion_tokens))
    choice = completion.choices[0]
    if choice.message.refusal:
        raise AnalystFailed(f"the model refuses: {_brief(choice.message.refusal)}", usage=usage)
    if choice.finish_reason != "stop":
        raise AnalystFailed(f"the answer was cut off ({_brief(str(choice.finish_reason))})", usage=usage)
    return _text(choice.message.content, usage), str(completion.model), usage, raw.headers.get("x-request-id") or ""


def _responses(client: Any, endpoint: Endpoint, messages: list[dict[str, str]]) -> tuple[str, str, Usage, str]:
    raw = client.responses.with_raw_response.create(
        model=endpoint.model,
        instructions=messages[0]["content"],
        input=messages[1]["content"],
        max_output_tokens=endpoint.max_output_tokens,
        text={"format": {"type": "json_schema", "name": SCHEMA_NAME, "strict": True, "schema": SCHEMA}},
        store=False,
        **_options(endpoint),
    )
    response = raw.parse()
    usage = Usage(int(response.usage.input_tokens), int(response.usage.output_tokens))
    refusals = [part.refusal for item in response.output if item.type == "message" for part in item.content if part.type == "refusal"]
    if refusals:
        raise AnalystFailed(f"the model refuses: {_brief(refusals[0])}", usage=usage)
    if response.status != "completed":
        raise AnalystFailed(f"the answer was cut off ({_brief(str(response.status))})", usage=usage)
    return _text(response.output_text, usage), str(response.model), usage, raw.headers.get("x-request-id") or ""


def _options(endpoint: Endpoint) -> dict[str, Any]:
    return {} if endpoint.temperature is None else {"temperature": endpoint.temperature}


def _text(text: object, usage: Usage) -> str:
    if not isinstance(text, str) or not text:
        raise AnalystFailed("the answer is empty", usage=usage)
    return text


def _brief(text: str) -> str:
    """One line of at most 200 printable characters: what an endpoint says is shown, never obeyed."""
    return "".join(char if char.isprintable() else " " for char in str(text))[:200]
