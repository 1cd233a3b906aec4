"""What the views share of one trace: read once, kept small, used by every session and never changed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hiddenstate_core.analysis import (
    DatasetOverview,
    Flow,
    Matches,
    PredictionEvolution,
    Query,
    SearchIndex,
    class_flow,
    dataset_overview,
    find_sequences,
    prediction_evolution,
)
from hiddenstate_core.analysis.spatial import SpatialOrder, spatial_order
from hiddenstate_core.distances import StepDistances, sequence_distances, step_distances
from hiddenstate_core.errors import HiddenStateError, InputError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.colours import Palette
from hiddenstate_viewer.theme import LIGHT, Look

__all__ = ["Reading", "ViewData", "unfit"]

#: Words shown of each sequence in the table.
FIRST_WORDS = 14
_BLOCK = 262_144
#: Step distances of at most this many states are computed while the first view waits.
_AT_ONCE = 1_000_000
#: Answers to filters that are kept.
_ANSWERS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """One sequence as the views show it; T words, C classes.

    Parameters
    ----------
    index : int
        Number of the sequence in the trace.
    id : str
        Its name.
    start : int
        Number of its first step in the trace.
    evolution : PredictionEvolution
        Prediction after each word.
    known : (T,) bool
        Whether the model knows each word.
    jumps : (T,) float32
        Step distances as shares of the data set's largest; empty where hidden states were not recorded.
    colours : (T, 3) uint8
        Of the model's output after each word.
    before : (T, 3) uint8
        Of the model's output before each word.
    scaled : bool
        Whether `jumps` are shares of the data set's largest; if not, that is still being looked for, and they are
        shares of this sequence's own.
    """

    index: int
    id: str
    start: int
    evolution: PredictionEvolution
    known: NDArray[np.bool_]
    jumps: NDArray[np.float32]
    colours: NDArray[np.uint8]
    before: NDArray[np.uint8]
    scaled: bool = True

    def __len__(self) -> int:
        return len(self.evolution)


def unfit(trace: Trace) -> str | None:
    """Why a trace cannot be shown, in a sentence; None where it can. Reads what is known of the trace, no array."""
    if trace.task == "language_model":
        return (
            f"{trace.path} was recorded from a language model, which has no class probabilities, and these are what "
            "the viewer shows: it is for classifiers. Read it in Python: target_probability() and top_tokens() of the "
            "trace give its next words."
        )
    if not trace.facts.probabilities:
        return (
            f"{trace.path} was recorded without class probabilities, which are what the viewer shows; record it again "
            "with `hiddenstate extract`, without --no-probabilities."
        )
    return None


class ViewData:
    """A trace and what the views need of it, computed on first use and shared by all sessions.

    Parameters
    ----------
    trace : Trace
        A recording.
    model : path-like, optional
        Checkpoint of the model that was recorded; where none is named, one is looked for beside the store.
    """

    def __init__(self, trace: Trace, *, model: str | os.PathLike[str] | None = None) -> None:
        self.trace = trace
        #: Checkpoint of the model that was recorded, where the caller named one.
        self.model_path = None if model is None else Path(model)
        self._lock = threading.RLock()
        self._kept: dict[tuple[str, Any], Any] = {}
        self._found: dict[Query, Matches] = {}
        self._making: dict[tuple[str, Any], threading.RLock] = {}
        self._sought: dict[tuple[str, Any], threading.Thread] = {}

    @property
    def name(self) -> str:
        """Name of the store, without its folder."""
        return self.trace.path.name

    @functools.cached_property
    def overview(self) -> DatasetOverview:
        """Counts over the recorded sequences."""
        return dataset_overview(self.trace)

    @functools.cached_property
    def palette(self) -> Palette:
        """Colours of the classes on a light ground."""
        return self.colours(LIGHT)

    def colours(self, look: Look) -> Palette:
        """Colours of the classes in a look."""
        make = functools.partial(Palette.of, self.trace.classes, self.overview.counts, dark=look.dark)
        return self.keep("palette", look.name, make)

    @functools.cached_property
    def final(self) -> NDArray[np.int64]:
        """Class predicted after the last word of each sequence, (S,) int64."""
        return self.trace.predicted

    @functools.cached_property
    def _outputs(self) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        probabilities = self.trace.probabilities()
        predicted = np.empty(self.trace.steps, np.int16)
        confidence = np.empty(self.trace.steps, np.float32)
        for at in range(0, self.trace.steps, _BLOCK):
            block = np.asarray(probabilities[at : at + _BLOCK], np.float32)
            predicted[at : at + len(block)] = block.argmax(axis=1)
            confidence[at : at + len(block)] = block.max(axis=1)
        return predicted, confidence

    @property
    def predicted(self) -> NDArray[np.int16]:
        """Most probable class at each step, (N,) int16."""
        return self._outputs[0]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Its probability, (N,) float32."""
        return self._outputs[1]

    @functools.cached_property
    def surface(self) -> NDArray[np.int32]:
        """Number in the lexicon of every word as written, (N,) int32."""
        return np.asarray(self.trace.surface()[:], np.int32)

    def coordinates(self, projection: str) -> NDArray[np.float32]:
        """The first two coordinates of every state, (N, 2) float32."""
        return self.keep("projection", projection, lambda: self.trace.projection(projection).coordinates[:, :2])

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the layers whose hidden states were recorded."""
        return self.trace.facts.layers if "hidden" in self.trace.recorded else ()

    def distances(
        self, layer: int = -1, quantity: str = "hidden", direction: str | None = None
    ) -> StepDistances | None:
        """Step distances of a recorded quantity; None where it was not recorded. Reads all states the first time."""
        key = self._recorded(layer, quantity, direction)
        return None if key is None else self.keep("distances", key, functools.partial(self._measure, key))

    def distances_soon(
        self, layer: int = -1, quantity: str = "hidden", direction: str | None = None
    ) -> StepDistances | None:
        """`distances`, but None as well while those of a large trace are being computed by a thread."""
        key = self._recorded(layer, quantity, direction)
        if key is None or self.trace.steps <= _AT_ONCE:
            return self.distances(layer, quantity, direction)
        return self.soon("distances", key, functools.partial(self._measure, key))

    def _recorded(self, layer: int, quantity: str, direction: str | None) -> tuple[int, str, str | None] | None:
        trace = self.trace
        layer = self.layers[-1] if layer == -1 and self.layers else layer % len(trace.layers)
        name, _, gate = quantity.partition(":")
        there = gate in trace.gates if name == "gate" else name in trace.recorded
        # The first direction by its name: a key that says None would have the same distances measured twice.
        direction = direction or trace.directions[0]
        return (layer, quantity, direction) if there and layer in trace.facts.layers else None

    def _measure(self, key: tuple[int, str, str | None]) -> StepDistances:
        layer, quantity, direction = key
        return step_distances(self.trace, layer, quantity=quantity.removeprefix("gate:"), direction=direction)

    def reading(
        self,
        sequence: int,
        layer: int = -1,
        *,
        quantity: str = "hidden",
        direction: str | None = None,
        look: Look = LIGHT,
    ) -> Reading:
        """One sequence as the views show it; reads that sequence only."""
        view = self.trace.sequence(sequence)
        evolution = prediction_evolution(self.trace, view.index)
        palette = self.colours(look)
        jumps, scaled = self._jumps(view, self._recorded(layer, quantity, direction))
        return Reading(
            index=view.index,
            id=view.id,
            start=view.start,
            evolution=evolution,
            known=view.known,
            jumps=jumps,
            colours=palette.outputs(evolution.probabilities),
            before=palette.outputs(evolution.before),
            scaled=scaled,
        )

    def _jumps(self, view: Any, key: tuple[int, str, str | None] | None) -> tuple[NDArray[np.float32], bool]:
        if key is None:
            return np.zeros(0, np.float32), True
        layer, quantity, direction = key
        distances = self.distances_soon(layer, quantity, direction)
        if distances is not None:
            return distances.normalised(view.index), True
        quantity = quantity.removeprefix("gate:")
        own = sequence_distances(self.trace, view.index, layer, quantity=quantity, direction=direction)
        return own / max(float(own[1:].max(initial=0)), 1e-12), False

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """A row per sequence: number, id, classes by name, correct, confidence, length, first words."""
        trace = self.trace
        names = np.array([*trace.classes, "unknown"], object)
        labels = trace.labels.astype(np.int64)
        correct = np.where(labels < 0, "", np.where(self.final == labels, "yes", "no"))
        return pd.DataFrame(
            {
                "id": list(trace.ids),
                "class": names[labels],
                "predicted": names[self.final],
                "correct": correct.astype(object),
                "confidence": np.round(100 * trace.final_probabilities.max(axis=1), 1).astype(np.float64),
                "words": trace.lengths,
                "text": self._first_words(),
            }
        )

    def _first_words(self) -> list[str]:
        trace = self.trace
        lexicon, surface = trace.lexicon, self.surface
        texts = []
        for start, stop in zip(trace.offsets[:-1].tolist(), trace.offsets[1:].tolist(), strict=True):
            words = [lexicon[i] for i in surface[start : min(stop, start + FIRST_WORDS)].tolist()]
            texts.append(" ".join(words) + (" …" if stop - start > FIRST_WORDS else ""))
        return texts

    @functools.cached_property
    def index(self) -> SearchIndex:
        """What searches share."""
        return SearchIndex(self.trace, surface=self.surface)

    def find(self, query: Query) -> Matches:
        """What a filter finds; the last answers are kept."""
        with self._lock:
            known = self._found.get(query)
        if known is None:
            known = find_sequences(self.trace, query, self.index)
            with self._lock:
                self._found[query] = known
                while len(self._found) > _ANSWERS:
                    self._found.pop(next(iter(self._found)))
        return known

    def inside(self, projection: str, xs: Sequence[float], ys: Sequence[float]) -> NDArray[np.int64]:
        """Numbers of the states whose points lie inside a polygon of a map."""
        return np.asarray(self.order(projection).inside(xs, ys), np.int64)

    def order(self, projection: str) -> SpatialOrder:
        """A map's points in spatial order: from the store where it has them, else sorted now."""
        return self.keep("order", projection, lambda: spatial_order(self.trace, projection))

    def flow(self, projection: str, label: int) -> Flow:
        """Mean path of a true class's sequences through a map."""
        return self.keep(
            "flow", (projection, label), lambda: class_flow(self.trace, self.coordinates(projection), label)
        )

    def example(self) -> int | None:
        """A sequence worth showing: classified correctly and surely, with the largest turn on the way.

        Falls back to the longest sequence that has words; None where no sequence has any.
        """
        return self.keep("example", None, self._example)

    def _example(self) -> int | None:
        trace = self.trace
        lengths = np.diff(trace.offsets)
        if not lengths.any():
            return None
        sure = trace.final_probabilities.max(axis=1)
        good = (trace.labels == self.final) & (lengths >= min(40, int(lengths.max()))) & (sure >= 0.9)
        candidates = np.flatnonzero(good)
        if not len(candidates):
            return int(lengths.argmax())
        # Of many, the surest are looked at: enough to find a good one, without reading the whole store.
        candidates = candidates[np.argsort(-sure[candidates], kind="stable")][:200]
        best, score = int(candidates[0]), -1.0
        for index in np.sort(candidates).tolist():
            evolution = prediction_evolution(trace, index)
            turns = int(evolution.flips.sum())
            doubt = 1 - float(evolution.probabilities[:, evolution.final].min())
            largest = float(evolution.change[1:].max(initial=0))
            value = largest + doubt + 0.5 * (0 < turns <= 4) - 0.02 * max(turns - 4, 0)
            if value > score:
                best, score = index, value
        return best

    def check(self) -> None:
        """Read what the first page needs, so that a damaged store is found before anything is served.

        Raises
        ------
        InputError
            The trace holds no class probabilities.
        HiddenStateError
            Something that the page needs cannot be read.
        """
        if problem := unfit(self.trace):
            raise InputError(problem)
        try:
            _ = self.table, self.palette, self.predicted
            for name in self.trace.projections[:1]:
                self.coordinates(name)
            self.distances_soon(-1)
        except HiddenStateError:
            raise
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            from hiddenstate_core.errors import StoreError

            raise StoreError(
                f"{self.trace.path} cannot be read ({error}); record it again with `hiddenstate extract`."
            ) from error

    def soon(self, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """What `keep` would give if it is there; else None, and a thread makes it."""
        with self._lock:
            if (kind, key) in self._kept:
                return self._kept[kind, key]
            if (kind, key) not in self._sought:
                self._sought[kind, key] = thread = threading.Thread(
                    target=self._seek, args=(kind, key, make), name=f"hiddenstate-{kind}", daemon=True
                )
                thread.start()
            return None

    def _seek(self, kind: str, key: Any, make: Callable[[], Any]) -> None:
        # Not under the lock: what takes long must not hold up what is there already.
        with contextlib.suppress(HiddenStateError):
            made = make()
            with self._lock:
                self._kept[kind, key] = made

    def keep(self, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once and kept under `kind` and `key`."""
        with self._lock:
            if (kind, key) in self._kept:
                return self._kept[kind, key]
            making = self._making.setdefault((kind, key), threading.RLock())
        # Each thing has a lock of its own: what takes long must not hold up what is there already.
        with making:
            with self._lock:
                if (kind, key) in self._kept:
                    return self._kept[kind, key]
            made = make()
            with self._lock:
                self._making.pop((kind, key), None)
                return self._kept.setdefault((kind, key), made)
