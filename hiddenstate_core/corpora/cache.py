"""Cut texts kept in the user cache, so that a corpus is cut once; a damaged or foreign file counts as absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.corpora.archives import cache_folder
from hiddenstate_core.corpora.texts import Sheet, Words

__all__ = ["cache_path", "keep_words", "kept_words"]

#: Raised whenever the layout of the files changes.
_FORMAT = 1
_DTYPES = {
    "surface": np.int32, "offsets": np.int64, "labels": np.int32, "split": np.int8, "lexicon": np.uint8, "ids": np.uint8
}  # fmt: skip


def cache_path(name: str, key: Mapping[str, object]) -> Path:
    """Where the cut texts of corpus `name` are kept; `key` is everything that decides what they are."""
    text = json.dumps({"format": _FORMAT, **key}, sort_keys=True)
    return cache_folder() / "corpora" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.safetensors"


def kept_words(path: Path) -> tuple[Words, Sheet] | None:
    """What `keep_words` wrote, or None where there is no such file or it is damaged in any way."""
    from safetensors import safe_open

    try:
        if not path.is_file():
            return None
        with safe_open(path, framework="numpy") as file:
            notes = file.metadata() or {}
            arrays: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in _DTYPES}
        if any(arrays[n].dtype != dtype or arrays[n].ndim != 1 for n, dtype in _DTYPES.items()):
            return None
        if notes.get("digest") != _digest(arrays, notes.get("names", "")):
            return None
        names = json.loads(notes["names"])
        words = Words(arrays["surface"], arrays["offsets"], _unpack(arrays["lexicon"]))
        sheet = Sheet(
            arrays["labels"], tuple(names["classes"]), arrays["split"], tuple(names["splits"]), _unpack(arrays["ids"])
        )
    except Exception:  # whatever a damaged file makes its reader raise, the answer is to cut the texts again
        return None
    return words, sheet


def keep_words(path: Path, words: Words, sheet: Sheet) -> None:
    """Write cut texts aside and rename; a cache that cannot be written is no error."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {
        "surface": words.surface,
        "offsets": words.offsets,
        "labels": sheet.labels,
        "split": sheet.split,
        "lexicon": _pack(words.lexicon),
        "ids": _pack(sheet.ids),
    }
    names = json.dumps({"classes": sheet.classes, "splits": sheet.splits})
    with contextlib.suppress(OSError, SafetensorError), atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata={"names": names, "digest": _digest(arrays, names)})


def _pack(names: tuple[str, ...]) -> NDArray[np.uint8]:
    # Neither words nor ids hold line breaks: the tokenizers cut at them, and ids are paths.
    return np.frombuffer("\n".join(names).encode(), np.uint8)


def _unpack(packed: NDArray[np.uint8]) -> tuple[str, ...]:
    text = packed.tobytes().decode()
    return tuple(text.split("\n")) if text else ()


def _digest(arrays: Mapping[str, NDArray[Any]], names: str) -> str:
    digest = hashlib.sha256(names.encode())
    for name in sorted(arrays):
        digest.update(f"{name}:{len(arrays[name])};".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
