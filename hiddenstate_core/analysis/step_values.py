"""`step_values`: a figure of every step by name, for any steps asked for, without reading all of them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.analysis.impact import probability_changes
from hiddenstate_core.analysis.map_quality import QUALITY_COLUMNS, read_quality
from hiddenstate_core.analysis.prediction import most_probable
from hiddenstate_core.analysis.quantity import distance_name, recorded_states
from hiddenstate_core.analysis.step_figure import Kind, StepValues, Values
from hiddenstate_core.distances import StepDistances, step_distances
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.trace import Trace

__all__ = ["Choice", "StepValues", "available", "step_values"]

#: Gates whose activations lie between 0 and 1; candidates lie between -1 and 1.
_SIGMOID = ("input", "forget", "output", "reset", "update")


@dataclasses.dataclass(frozen=True)
class Choice:
    """A figure that a trace has.

    Parameters
    ----------
    key : str
        Its key for `step_values`; where `count` is not None, followed by ``:<number>``.
    label : str
        What to call it.
    count : int or None
        Units to choose from, 0 to ``count - 1``.
    """

    key: str
    label: str
    count: int | None = None


def step_values(
    trace: Trace,
    key: str,
    *,
    layer: int = -1,
    direction: str | None = None,
    quantity: str = "hidden",
    seed: int = 0,
) -> StepValues:
    """A figure of every step, by name.

    Parameters
    ----------
    trace : Trace
        A recording.
    key : str
        ``prediction``
            class predicted after the word (with `StepValues.weights`, its probability).
        ``class``, ``split``
            true class and split of the sequence.
        ``confidence``, ``change``, ``error``
            probability of the predicted class; largest change of any class's probability that the word made; 1 less
            the probability of the true class, NaN where that is not known.
        ``position``, ``relative``
            number of the word, from 0, and as a share of the sequence, 0 at the first word to 1 at the last.
        ``distance``
            step distance as a share of the largest.
        ``unit:<n>``, ``cell:<n>``, ``gate:<name>:<n>``
            hidden state, cell state or activation of a gate of one unit.
        ``recall:<projection>``, ``trust:<projection>``, ``continuity:<projection>``
            how far a point of a projection can be trusted, where `store_quality` kept it; NaN where it was not sampled.
    layer, direction : int, str
        Of units, cells, gates and distances; see `Trace.hidden`.
    quantity : str
        Of distances: ``"hidden"``, ``"cell"`` or ``"gate:<name>"``.
    seed : int
        Of the sample that limits are drawn from.

    Returns
    -------
    StepValues

    Raises
    ------
    InputError
        No such figure, unit or gate, or one that was not recorded.

    Notes
    -----
    Reads the rows asked for, but for ``distance``, whose first use computes the distances of all steps unless they are
    stored (see `step_distances`).
    """
    if not isinstance(key, str) or not key:
        raise InputError(f"A figure of the steps is named by text such as 'confidence', not {key!r:.80}.")
    kind, _, rest = key.partition(":")
    if kind in ("unit", "cell", "gate") and rest:
        return _unit(trace, key, layer, direction, seed)
    if kind in QUALITY_COLUMNS and rest:
        return _quality(trace, key, kind, rest, seed)
    if key == "distance":
        return _distance(trace, layer, direction, quantity)
    if key not in _MAKERS:
        raise InputError(
            f"There is no figure {key!r:.80} of the steps; choose {', '.join((*_MAKERS, 'distance'))}, unit:<n>, "
            "cell:<n>, gate:<name>:<n>, or recall:, trust: or continuity:<projection>."
        )
    return _MAKERS[key](trace)


def available(trace: Trace, layer: int = -1, direction: str | None = None) -> list[Choice]:
    """Figures that `step_values` has of a trace and layer, in the order of a menu.

    Parameters
    ----------
    trace : Trace
        A recording.
    layer, direction : int, str
        Whose units, cells and gates; none of these are listed where the layer was not recorded.
    """
    facts, found = trace.facts, []
    classifier = facts.task == "classification"
    predicted = classifier and facts.probabilities
    if predicted:
        found += [Choice("prediction", "predicted class"), Choice("confidence", "confidence")]
    if classifier:
        found.append(Choice("class", "true class"))
    if predicted:
        if facts.every == 1:
            found.append(Choice("change", "change of prediction"))
        found.append(Choice("error", "error"))
    found += [Choice("position", "word number"), Choice("relative", "place in the sequence")]
    if len(trace.splits) > 1:
        found.append(Choice("split", "split"))
    number = layer % len(facts.sizes) if -len(facts.sizes) <= layer < len(facts.sizes) else -1
    if number in facts.layers and (direction is None or direction in trace.directions):
        count = facts.sizes[number]
        if "hidden" in facts.recorded:
            found += [Choice("distance", "step distance"), Choice("unit", "hidden unit", count)]
        if "cell" in facts.recorded:
            found.append(Choice("cell", "cell state", count))
        found += [Choice(f"gate:{gate}", f"{gate} gate", count) for gate in facts.gates]
    for projection in trace.projections:
        if read_quality(trace, projection) is not None:
            found += [Choice(f"{name}:{projection}", f"{name} of {projection}") for name in QUALITY_COLUMNS]
    return found


# -- one maker a figure -----------------------------------------------------------------------------------------


def _sequence_of(trace: Trace, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(trace.offsets, rows, side="right") - 1


def _prediction(trace: Trace) -> StepValues:
    probabilities = trace.probabilities()
    return StepValues(
        trace,
        "prediction",
        "predicted class",
        "categorical",
        lambda rows: most_probable(probabilities[rows]),
        classes=trace.classes,
        confidence=lambda rows: probabilities[rows].max(axis=1),
    )


def _confidence(trace: Trace) -> StepValues:
    probabilities = trace.probabilities()
    limits = (1 / max(2, len(trace.classes)), 1.0)
    return StepValues(
        trace, "confidence", "confidence", "sequential", lambda rows: probabilities[rows].max(axis=1), limits=limits
    )


def _class(trace: Trace) -> StepValues:
    if trace.facts.task != "classification":
        raise InputError(f"{trace.path} is a language model's recording, whose sequences have no classes.")
    labels = trace.labels
    return StepValues(
        trace,
        "class",
        "true class",
        "categorical",
        lambda rows: labels[_sequence_of(trace, rows)],
        classes=trace.classes,
    )


def _split(trace: Trace) -> StepValues:
    split = trace.split
    return StepValues(
        trace, "split", "split", "categorical", lambda rows: split[_sequence_of(trace, rows)], classes=trace.splits
    )


def _position(trace: Trace) -> StepValues:
    limits = (0.0, float(max(1, int(trace.lengths.max(initial=0)) - 1)))
    positions = trace.positions
    return StepValues(trace, "position", "word number", "sequential", lambda rows: positions[rows], limits=limits)


def _relative(trace: Trace) -> StepValues:
    positions, lengths = trace.positions, trace.lengths

    def read(rows: NDArray[np.int64]) -> Values:
        return np.asarray(positions[rows] / np.maximum(lengths[_sequence_of(trace, rows)] - 1, 1))

    return StepValues(trace, "relative", "place in the sequence", "sequential", read, limits=(0.0, 1.0))


def _change(trace: Trace) -> StepValues:
    if trace.facts.every > 1:
        raise InputError(
            f"{trace.path} keeps one step in {trace.facts.every}, so what a single word changes is not known."
        )
    probabilities = trace.probabilities()

    def read(rows: NDArray[np.int64]) -> Values:
        if int(rows[-1]) - int(rows[0]) == len(rows) - 1:
            change = probability_changes(trace, probabilities, int(rows[0]), int(rows[-1]) + 1)[0]
            return np.asarray(np.abs(change).max(axis=1))
        backward = trace.facts.direction == "backward"
        sequence = _sequence_of(trace, rows)
        first = rows == (trace.offsets[sequence + 1] - 1 if backward else trace.offsets[sequence])
        aside = np.where(first, rows, rows + 1 if backward else rows - 1)
        before = probabilities[aside]
        before[first] = trace.initial_probabilities
        return np.asarray(np.abs(probabilities[rows] - before).max(axis=1))

    return StepValues(trace, "change", "change of prediction", "sequential", read)


def _error(trace: Trace) -> StepValues:
    probabilities, labels = trace.probabilities(), trace.labels

    def read(rows: NDArray[np.int64]) -> Values:
        codes = labels[_sequence_of(trace, rows)]
        found = 1 - probabilities[rows][np.arange(len(rows)), np.maximum(codes, 0)]
        return np.where(codes >= 0, found, np.float32(np.nan))

    return StepValues(trace, "error", "error", "sequential", read, limits=(0.0, 1.0))


_MAKERS: dict[str, Callable[[Trace], StepValues]] = {
    "prediction": _prediction,
    "confidence": _confidence,
    "class": _class,
    "change": _change,
    "error": _error,
    "position": _position,
    "relative": _relative,
    "split": _split,
}


def _distance(trace: Trace, layer: int, direction: str | None, quantity: str) -> StepValues:
    recorded_states(trace, quantity, layer, direction)  # refused at once where there are none
    lock = threading.Lock()
    kept: list[StepDistances] = []

    def read(rows: NDArray[np.int64]) -> Values:
        with lock:
            if not kept:
                kept.append(step_distances(trace, layer, quantity=distance_name(quantity), direction=direction))
        return np.asarray(np.minimum(kept[0].values[rows] / np.float32(kept[0].largest), 1))

    return StepValues(trace, "distance", "step distance", "sequential", read)


def _unit(trace: Trace, key: str, layer: int, direction: str | None, seed: int) -> StepValues:
    name, _, number = key.rpartition(":")
    array = recorded_states(trace, "hidden" if name == "unit" else name, layer, direction)
    if not number.isdecimal() or int(number) >= array.shape[1]:
        raise InputError(f"There is no unit {number!r:.40} in {key!r:.80}; the layer has {array.shape[1]}, from 0.")
    unit, gate = int(number), name.removeprefix("gate:")
    sigmoid = name.startswith("gate:") and gate in _SIGMOID
    what = {"unit": "hidden unit", "cell": "cell state"}.get(name, f"{gate} gate,")

    def read(rows: NDArray[np.int64]) -> Values:
        if int(rows[-1]) - int(rows[0]) == len(rows) - 1:
            return np.asarray(array[int(rows[0]) : int(rows[-1]) + 1, unit])
        return np.asarray(array[rows, unit])

    kind: Kind = "sequential" if sigmoid else "diverging"
    label = f"{what} {unit}" if name in ("unit", "cell") else f"{what} unit {unit}"
    return StepValues(trace, key, label, kind, read, limits=(0.0, 1.0) if sigmoid else None, seed=seed)


def _quality(trace: Trace, key: str, name: str, projection: str, seed: int) -> StepValues:
    values = read_quality(trace, projection)
    if values is None:
        raise InputError(
            f"{trace.path} has no quality of the points of a projection {projection!r:.80}; run "
            "`hiddenstate project --quality` or store_quality."
        )
    column = QUALITY_COLUMNS.index(name)
    limits = None if name != "recall" else (0.0, 1.0)
    return StepValues(
        trace,
        key,
        f"{name} of {projection}",
        "sequential",
        lambda rows: values[rows][:, column],
        limits=limits,
        seed=seed,
    )
