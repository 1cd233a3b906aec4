"""Every error that hiddenstate raises on purpose.

Each leaf also inherits the builtin exception that fits, so ``except ValueError`` keeps working. A message says what
came, what was expected and what to do.
"""

from __future__ import annotations

__all__ = [
    "ArchiveError",
    "CorpusError",
    "DownloadError",
    "HiddenStateError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "StoreError",
    "StoreNotFoundError",
    "require_kind",
]


class HiddenStateError(Exception):
    """Root of every error raised on purpose by this package."""


class InputError(HiddenStateError, ValueError):
    """An argument or array of the wrong kind, shape, range or content."""


class CorpusError(HiddenStateError, ValueError):
    """A corpus that is malformed or does not fit the model it is given to."""


class ArchiveError(HiddenStateError, ValueError):
    """A downloaded or given archive that is truncated, altered or unsafe to unpack."""


class DownloadError(HiddenStateError, OSError):
    """A file that could not be fetched."""


class ModelError(HiddenStateError, ValueError):
    """A model checkpoint that is missing a part, is damaged, or does not fit."""


class OutputError(HiddenStateError, OSError):
    """A file or folder that cannot be written where it was asked for."""


class StoreError(HiddenStateError, ValueError):
    """A trace store that is damaged, incomplete, or of another schema or model."""


class StoreNotFoundError(HiddenStateError, FileNotFoundError):
    """No trace store, or no such array in it, at the path given."""


class MissingExtraError(HiddenStateError, ImportError):
    """An optional dependency that is not installed; the message names the install command."""


def require_kind(value: object, kind: type, what: str) -> None:
    """Refuse an argument of another kind, such as a path where the object itself is wanted.

    Raises
    ------
    InputError
        `value` is no `kind`; `what` names it at the beginning of the sentence.
    """
    if not isinstance(value, kind):
        raise InputError(f"{what} must be {kind.__name__}, not {type(value).__name__} ({value!r:.60}).")
