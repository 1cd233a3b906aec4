"""Frozen option values that print, compare and round-trip as JSON."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from hiddenstate_core.errors import InputError

__all__ = ["Options"]

_Self = TypeVar("_Self", bound="Options")


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of the small frozen option classes.

    Subclasses are frozen dataclasses whose fields are ``bool``, ``int``, ``float``, ``str``, tuples of these, or
    ``None``. Values from JSON are checked against the annotated types, so a hand-edited file is refused by field name.
    """

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready mapping (tuples become lists)."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def to_json(self) -> str:
        """Canonical JSON text: sorted keys, no spaces; equal options give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls: type[_Self], values: Mapping[str, Any]) -> _Self:
        """Build from a mapping, refusing unknown names and wrong types.

        Raises
        ------
        InputError
            A name that the class does not have, or a value of another type than the field's.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"{cls.__name__} expects a JSON object, not {type(values).__name__}.")
        hints = typing.get_type_hints(cls)
        names = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise InputError(
                f"{cls.__name__} has no option {', '.join(map(repr, unknown))}; it has {', '.join(sorted(names))}."
            )
        return cls(**{k: _coerce(v, hints[k], f"{cls.__name__}.{k}") for k, v in values.items()})

    @classmethod
    def from_json(cls: type[_Self], text: str) -> _Self:
        """Inverse of `to_json`; raises `InputError` where the text is not a JSON object of this class."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{cls.__name__} expects JSON text: {error}.") from error
        return cls.from_dict(values)

    def replace(self: _Self, **changes: Any) -> _Self:
        """Copy with some fields changed (validated again)."""
        return dataclasses.replace(self, **changes)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """Return `value` as `hint` says, or raise naming `where`."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        problems = []
        for option in typing.get_args(hint):
            try:
                return _coerce(value, option, where)
            except InputError as error:
                problems.append(error)
        raise problems[0]
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise InputError(f"{where} must be one of {', '.join(map(repr, typing.get_args(hint)))}, not {value!r}.")
    if origin is tuple:
        item = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{where} must be a list, not {value!r}.")
        return tuple(_coerce(v, item, where) for v in value)
    if hint is type(None):
        if value is None:
            return None
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(hint, type) and isinstance(value, hint):
        return value
    raise InputError(f"{where} must be {getattr(hint, '__name__', hint)}, not {value!r}.")
