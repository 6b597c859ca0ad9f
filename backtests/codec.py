"""Typed values as JSON and back, guided by their types: a setup that was stored years ago is the same setup, to the digit.

Knows dataclasses, enums, Decimal, datetime, timedelta, tuples, frozen sets, optional values and plain JSON. What it does not know,
it refuses when it is written, not when it is read.
"""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dgbot.core.errors import BadInput

T = TypeVar("T")

WRITTEN: dict[type, Callable[[Any], Any]] = {
    Enum: lambda value: value.value,
    Decimal: str,
    datetime: datetime.isoformat,
    timedelta: timedelta.total_seconds,
    frozenset: lambda value: sorted(as_json(one) for one in value),
    tuple: lambda value: [as_json(one) for one in value],
    list: lambda value: [as_json(one) for one in value],
    Mapping: lambda value: {str(name): as_json(one) for name, one in value.items()},
    bool: bool,
    int: int,
    float: float,
    str: str,
    type(None): lambda _value: None,
}
READ: dict[Any, Callable[[Any], Any]] = {
    datetime: datetime.fromisoformat,
    timedelta: lambda data: timedelta(seconds=data),
}
PLAIN = (bool, str, dict, list)


def as_json(value: Any) -> Any:
    """`value` as JSON values. Raises TypeError for a type it does not know."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_json(getattr(value, one.name)) for one in fields(value)}
    for kind, write in WRITTEN.items():
        if isinstance(value, kind):
            return write(value)
    raise TypeError(f"a {type(value).__name__} cannot be stored as JSON")


def from_json(kind: type[T], data: Any) -> T:
    """The value of type `kind` that `as_json` wrote; a field that is not there keeps its default.

    Raises BadInput for data of another form.
    """
    try:
        made: T = _value(kind, data)
    except (TypeError, ValueError, KeyError, InvalidOperation) as error:
        raise BadInput(f"A stored {kind.__name__} cannot be read: {error}.") from error
    return made


def finite(values: Any) -> Any:
    """The same with every number that is not finite as null: JSON has no NaN."""
    if isinstance(values, Mapping):
        return {name: finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _value(kind: Any, data: Any) -> Any:
    if get_origin(kind) is not None or kind is Any:
        return _of_many(kind, data)
    if is_dataclass(kind):
        made: Any = kind  # a class, which mypy does not see
        hints = get_type_hints(kind)
        return made(**{one.name: _value(hints[one.name], data[one.name]) for one in fields(kind) if one.name in data})
    if kind in PLAIN and not isinstance(data, kind):
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return data if kind in PLAIN else READ.get(kind, kind)(data)


def _of_many(kind: Any, data: Any) -> Any:
    """A value of a type with parameters."""
    origin, kinds = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if data is None else _value(next(one for one in kinds if one is not type(None)), data)
    if origin is frozenset:
        return frozenset(_value(kinds[0], one) for one in data)
    if origin is not tuple:  # dict[str, …] and the like: plain JSON
        return data
    if kinds[1:] == (Ellipsis,):
        return tuple(_value(kinds[0], one) for one in data)
    return tuple(_value(each, one) for each, one in zip(kinds, data, strict=True))
