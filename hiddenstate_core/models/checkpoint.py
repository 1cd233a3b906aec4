"""Model checkpoints: a folder with safetensors weights and JSON, written whole and checked in full when read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate_core.atomic import atomic_directory
from hiddenstate_core.corpora.corpus import Vocabulary
from hiddenstate_core.corpora.tokenizer import cutter
from hiddenstate_core.errors import HiddenStateError, ModelError
from hiddenstate_core.models.spec import ModelSpec

if TYPE_CHECKING:
    from hiddenstate_core.models.model import Model

__all__ = ["FORMAT", "FORMAT_VERSION", "check_target", "load_checkpoint", "save_checkpoint"]

FORMAT = "hiddenstate-model"
#: Rises whenever an older reader would misread a newer folder.
FORMAT_VERSION = 1

_WEIGHTS = "weights.safetensors"
_DESCRIPTION = "model.json"
_VOCABULARY = "vocabulary.json"
_TOKENIZER = "tokenizer.json"


def save_checkpoint(model: Model, path: str | os.PathLike[str]) -> None:
    """Write `model` as the folder `path`; it takes the place of an older checkpoint whole.

    Raises
    ------
    ModelError
        `path` exists and is no checkpoint: it is left alone.
    """
    from safetensors.numpy import save

    target = check_target(path)
    description = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "spec": model.spec.to_dict(),
        "classes": list(model.classes),
        "fingerprint": model.fingerprint,
        "metadata": model.metadata,
    }
    with atomic_directory(target) as folder:
        arrays = {name: np.ascontiguousarray(np.asarray(array)) for name, array in model.params.items()}
        (folder / _WEIGHTS).write_bytes(save(arrays))
        _write(folder / _DESCRIPTION, json.dumps(description, indent=1, allow_nan=False))
        _write(folder / _VOCABULARY, json.dumps(list(model.vocabulary.words)))
        if model.tokenizer:
            _write(folder / _TOKENIZER, model.tokenizer)


def check_target(path: str | os.PathLike[str]) -> Path:
    """Path of a checkpoint to be written, checked before the work that leads to it.

    Raises
    ------
    ModelError
        Something that is no checkpoint lies there, or its folder cannot be made or written to.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        occupied = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    except (FileExistsError, NotADirectoryError) as error:
        raise ModelError(f"No model can be saved at {target}: a file is in the way; choose another folder.") from error
    except OSError as error:
        raise ModelError(f"No model can be saved at {target}: {error.strerror or error}.") from error
    if occupied and not (target / _DESCRIPTION).is_file():
        raise ModelError(f"{target} exists and is no model checkpoint; choose another folder for the model.")
    if not os.access(target.parent, os.W_OK):
        raise ModelError(f"No model can be saved at {target}: its folder cannot be written to.")
    return target


def load_checkpoint(path: str | os.PathLike[str]) -> Model:
    """Read the folder `path`, checking every part; see `Model.load`."""
    from hiddenstate_core.models.model import Model

    folder = Path(path)
    if not folder.is_dir():
        raise ModelError(f"There is no model at {folder}: a checkpoint is a folder with {_DESCRIPTION} and {_WEIGHTS}.")
    description = _json(folder / _DESCRIPTION)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ModelError(f"{folder / _DESCRIPTION} does not describe a model checkpoint (format {FORMAT!r}).")
    if description.get("version") != FORMAT_VERSION:
        raise ModelError(
            f"{folder} has checkpoint version {description.get('version')!r}, this release reads {FORMAT_VERSION}; "
            "train the model again or install a release that reads it."
        )
    classes = _strings(description.get("classes"), f"'classes' in {folder / _DESCRIPTION}")
    words = _strings(_json(folder / _VOCABULARY), str(folder / _VOCABULARY))
    metadata = description.get("metadata")
    if not isinstance(metadata, dict):
        raise ModelError(f"'metadata' in {folder / _DESCRIPTION} must be a JSON object.")
    tokenizer = folder / _TOKENIZER
    cut = ""
    if tokenizer.exists():
        _json(tokenizer)
        cut = tokenizer.read_text(encoding="utf-8")
    try:
        if cut:
            cutter(cut)
        model = Model(
            ModelSpec.from_dict(description.get("spec", {})),
            Vocabulary(words),
            classes,
            _weights(folder / _WEIGHTS),
            cut,
            metadata,
        )
    except HiddenStateError as error:
        raise ModelError(f"The checkpoint {folder} cannot be used: {error}") from error
    if description.get("fingerprint") != model.fingerprint:
        raise ModelError(
            f"The parts of the checkpoint {folder} do not belong together: architecture, vocabulary and weights have "
            "another fingerprint than the one written down with them; copy the whole folder again."
        )
    return model


def _weights(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    _require(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged or no safetensors file ({error}); copy it again.") from error


def _json(path: Path) -> Any:
    _require(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: not JSON ({error}).") from error


def _require(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"The checkpoint {path.parent} lacks {path.name}; copy the whole folder again.")


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ModelError(f"{where} must be a JSON list of strings.")
    return tuple(value)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
