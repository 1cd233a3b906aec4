"""Reads a text that someone typed with the model of a trace, and finds that model beside the store."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.analysis.prediction import PredictionEvolution
from hiddenstate_core.analysis.quantity import check_quantity
from hiddenstate_core.corpora.corpus import UNKNOWN, UNLABELLED, Corpus
from hiddenstate_core.corpora.tokenizer import tokenize
from hiddenstate_core.errors import InputError, ModelError, StoreError
from hiddenstate_core.models.checkpoint import FORMAT
from hiddenstate_core.models.model import Model
from hiddenstate_core.traces.extract import record_states
from hiddenstate_core.traces.record import CELL_GATES, CELL_STATES, Record
from hiddenstate_core.traces.schema import layer_path
from hiddenstate_core.traces.trace import Trace

__all__ = ["TextReading", "check_model", "find_model", "read_text"]

Float = NDArray[np.float32]

_DIRECTIONS = {"forward": ("forward",), "backward": ("backward",), "both": ("forward", "backward")}
#: Largest description of a checkpoint that is read while looking for one.
_LONGEST = 16 * 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class TextReading:
    """What a model makes of one text; T words, C classes.

    Parameters
    ----------
    words : tuple of str
        Words as the model's tokenizer cuts the text.
    tokens : (T,) int32
        Their ids in the model's vocabulary.
    probabilities : (T, C) float32
        Class probabilities after each word; (T, 0) of a language model.
    initial : (C,) float32
        Class probabilities before any word.
    prediction : (C,) float32
        Class probabilities after everything was read.
    classes : tuple of str
        Class names.
    direction : str
        ``"forward"``, ``"backward"`` or ``"both"``: how the model reads.
    dropped : int
        Words at the front of the text that were left out, since the text has more than are read.
    layers : int
        Number of layers of the network.
    arrays : dict of (T, W) arrays
        Every recorded array by its path in a store: ``layers/0/forward/hidden``, ``steps/probabilities``...
    """

    words: tuple[str, ...]
    tokens: NDArray[np.int32]
    probabilities: Float
    initial: Float
    prediction: Float
    classes: tuple[str, ...]
    direction: str
    dropped: int
    layers: int
    arrays: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the model knows each word, (T,) bool."""
        return np.asarray(self.tokens != UNKNOWN, np.bool_)

    def hidden(self, layer: int = -1, direction: str | None = None) -> Float:
        """Hidden states, (T, H) float32; -1 is the last layer, and the direction the network's first by default."""
        return self.states("hidden", layer, direction)

    def cell(self, layer: int = -1, direction: str | None = None) -> Float:
        """Cell states, (T, H) float32; see `hidden`."""
        return self.states("cell", layer, direction)

    def gate(self, name: str, layer: int = -1, direction: str | None = None) -> Float:
        """Activations of a gate, (T, H) float32; see `hidden`."""
        return self.states(f"gate:{name}", layer, direction)

    def states(self, quantity: str = "hidden", layer: int = -1, direction: str | None = None) -> Float:
        """``"hidden"``, ``"cell"`` or ``"gate:<name>"`` of a layer, (T, H) float32.

        Raises
        ------
        InputError
            A quantity, layer or direction that the model does not have, or gates that were not asked for.
        """
        gate = check_quantity(quantity)
        if not -self.layers <= layer < self.layers:
            raise InputError(f"Layer {layer} does not exist; the model has {self.layers}, 0..{self.layers - 1}.")
        ways = _DIRECTIONS[self.direction]
        way = ways[0] if direction is None else direction
        if way not in ways:
            raise InputError(f"The model reads {' and '.join(ways)}, not {way!r:.60}.")
        path = layer_path(layer % self.layers, quantity if gate is None else f"gates/{gate}", way)
        if path not in self.arrays:
            there = ", ".join(name for name in self.arrays if name.startswith("layers/"))
            raise InputError(f"The text was read without {path}; there are {there}. Gates are kept with gates=True.")
        return np.asarray(self.arrays[path], np.float32)

    def distances(
        self, largest: float = 1.0, *, layer: int = -1, direction: str | None = None, quantity: str = "hidden"
    ) -> Float:
        """How far each word moved the state, as a share of `largest`, at most 1; (T,) float32.

        As `StepDistances.normalised`: the first word that is read moves it from zero, and a gate, which has no value
        before it, by 0.

        Parameters
        ----------
        largest : float
            Length that counts as 1, such as `StepDistances.largest` of the trace.
        layer, direction, quantity
            As for `states`.

        Raises
        ------
        InputError
            As `states` does, or a length that is not above 0.
        """
        if not largest > 0 or not np.isfinite(largest):
            raise InputError(f"The largest distance must be above 0, not {largest!r}.")
        states = self.states(quantity, layer, direction).astype(np.float64)
        backward = (direction or _DIRECTIONS[self.direction][0]) == "backward"
        read = states[::-1] if backward else states
        first = read[:1] if check_quantity(quantity) is not None else np.zeros_like(read[:1])
        lengths = np.sqrt(((read - np.vstack([first, read[:-1]])) ** 2).sum(axis=1))
        shares = np.minimum(lengths[::-1] if backward else lengths, largest) / largest
        return np.asarray(shares, np.float32)

    @functools.cached_property
    def evolution(self) -> PredictionEvolution:
        """Prediction after each word, as of a sequence of a trace; its number and label are -1.

        Raises
        ------
        InputError
            A language model, which predicts no classes.
        """
        if not self.classes:
            raise InputError("A language model predicts words, not classes.")
        prediction = None if self.direction == "forward" else self.prediction
        return PredictionEvolution(
            -1, self.words, self.probabilities, self.initial, UNLABELLED, self.classes, self.direction, prediction
        )


def read_text(
    model: Model, text: str, *, initial: ArrayLike | None = None, limit: int = 2000, gates: bool = False
) -> TextReading:
    """Run a model over a text and keep every state it passes through.

    Parameters
    ----------
    model : Model
        The network, which cuts the text with its own tokenizer.
    text : str
        The text, with at least one word.
    initial : (C,) float array-like, optional
        Class probabilities before any word, where they are known (`Trace.initial_probabilities`).
    limit : int
        Words that are read at most; of a longer text, as of one longer than the model's ``max_length``, the last ones.
    gates : bool
        Whether gates are kept beside hidden and cell states.

    Returns
    -------
    TextReading

    Raises
    ------
    InputError
        Not text, a text without words, a model that reads feature vectors, or a limit below 1.
    StoreError
        A state that is not finite.

    Notes
    -----
    The states are those that `extract` would record of the same words. The first call compiles the model's program.
    """
    if not isinstance(text, str):
        raise InputError(f"What is read must be text, not {type(text).__name__}.")
    if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 1:
        raise InputError(f"The limit must be a number of words, at least 1, not {limit!r}.")
    read = model.encode_text(text)[0]
    if not read:
        raise InputError("The text has no words; type at least one.")
    words = tuple(read[-limit:])
    written = len(read)
    if len(read) == model.spec.max_length:  # it may have been cut
        written = len(tokenize(model.tokenizer, text)) if model.tokenizer else len(text.split())
    cell = model.spec.cell
    record = Record(cell="cell" in CELL_STATES[cell], gates=CELL_GATES[cell] if gates else ())
    corpus = _corpus(model, words)
    found = record_states(model, corpus, record=record)
    arrays = found.sequence(0)
    none = np.zeros((len(words), 0), np.float32)
    return TextReading(
        words=words,
        tokens=corpus.tokens,
        probabilities=arrays["steps/probabilities"] if model.classes else none,
        initial=found.final[1] if initial is None else _probabilities(initial, len(model.classes)),
        prediction=found.final[0],
        classes=model.classes,
        direction=model.spec.direction,
        dropped=written - len(words),
        layers=len(model.spec.hidden),
        arrays=arrays,
    )


def check_model(trace: Trace, model: Model) -> None:
    """Refuse a model that is not the one that a trace was recorded with.

    Raises
    ------
    ModelError
        Another model; the message has both fingerprints.
    """
    recorded = _recorded_model(trace.attributes)
    if model.fingerprint != recorded:
        raise ModelError(
            f"{trace.path} was recorded with the model {recorded or 'of unknown fingerprint'}, not with this one, "
            f"{model.fingerprint}; load the model it was recorded with."
        )


def find_model(store: str | os.PathLike[str], fingerprint: str | None = None) -> Path | None:
    """Look for the checkpoint that a store was recorded with, in the store and in the folder that holds it.

    Parameters
    ----------
    store : path-like
        A trace store.
    fingerprint : str, optional
        `Model.fingerprint` of the checkpoint; the one noted in the store by default.

    Returns
    -------
    Path or None
        ``<store>/model``, ``model`` beside the store, or another folder beside it, the first that says it is that
        model; None where none does. Nothing that lies elsewhere, or is linked to from there, is looked at. Weights
        are not read: `load_model` checks that they belong to the description.
    """
    place = Path(store).resolve()
    wanted = fingerprint or _noted(place)
    if not wanted:
        return None
    try:
        beside = sorted(Path(entry.path) for entry in os.scandir(place.parent) if entry.is_dir(follow_symlinks=False))
    except OSError:
        beside = []
    first = [place / "model", place.parent / "model"]
    for folder in [*first, *(path for path in beside if path not in first and path != place)]:
        if not folder.is_symlink() and _described(folder / "model.json").get("fingerprint") == wanted:
            return folder
    return None


def _recorded_model(attributes: Any) -> str:
    model = attributes.get("model") if isinstance(attributes, dict) else None
    found = model.get("fingerprint") if isinstance(model, dict) else None
    return found if isinstance(found, str) else ""


def _noted(store: Path) -> str:
    """Fingerprint of the model of a store."""
    try:
        description = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{store} is not a readable trace store ({error}).") from error
    return _recorded_model(description.get("attributes") if isinstance(description, dict) else None)


def _described(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself; nothing where it is none."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get("format") == FORMAT else {}


def _corpus(model: Model, words: tuple[str, ...]) -> Corpus:
    """One sequence of these words, and an empty one, whose prediction is the initial state's."""
    lexicon = tuple(dict.fromkeys(words))
    numbers = {word: number for number, word in enumerate(lexicon)}
    count = len(words)
    return Corpus(
        name="text",
        tokens=model.vocabulary.encode(words),
        surface=np.fromiter((numbers[word] for word in words), np.int32, count),
        offsets=np.array([0, count, count], np.int64),
        labels=np.full(2, UNLABELLED, np.int32),
        classes=model.classes,
        vocabulary=model.vocabulary,
        lexicon=lexicon,
        split=np.zeros(2, np.int8),
        splits=("test",),
        ids=("text", "nothing"),
        tokenizer=model.tokenizer,
    )


def _probabilities(given: ArrayLike, classes: int) -> Float:
    values = np.asarray(given, np.float32)
    if values.shape != (classes,) or not np.isfinite(values).all():
        raise InputError(f"The initial probabilities must be {classes} finite numbers, not of shape {values.shape}.")
    return values
