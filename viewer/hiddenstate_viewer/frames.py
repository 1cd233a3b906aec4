"""A selection as rows: sequences or states, in blocks, as CSV or Parquet, so that no size of it fills the memory."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.errors import InputError, MissingExtraError
from hiddenstate_viewer.data import ViewData

if TYPE_CHECKING:
    from hiddenstate_viewer.reader import Typed
    from hiddenstate_viewer.state import Selection

__all__ = [
    "TABLES", "chosen_sequences", "chosen_states", "frame_of", "sequence_blocks", "state_blocks", "table_kind",
    "write_table",
]  # fmt: skip

#: Endings of a table's file.
TABLES = ("csv", "parquet")
#: Rows that are in memory at once; a sequence's row holds its whole text.
STATE_ROWS, SEQUENCE_ROWS = 65_536, 1_024
#: A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Blocks = Iterator[pd.DataFrame]


def chosen_sequences(selection: Selection) -> NDArray[np.int64]:
    """Numbers of the sequences that the table shows: that pass the filter and have a state inside the lassos."""
    rows = selection.rows
    return np.arange(len(selection.data.trace)) if rows is None else np.asarray(rows, np.int64)


def chosen_states(selection: Selection) -> NDArray[np.int64]:
    """Numbers of the states that are selected, ascending.

    Those inside the lassos (of sequences that pass the filter), where there are any; else those of the sequences that
    are read and compared; else those of the sequences that pass the filter; else all.
    """
    trace, mask, matching = selection.data.trace, selection.steps_mask, selection.matching
    if mask is not None:
        steps = np.flatnonzero(mask)
        return steps if matching is None else steps[matching[_sequence_of(trace.offsets, steps)]]
    if selection.selected:
        return _steps_of(trace.offsets, np.sort(np.asarray(selection.selected, np.int64)))
    if matching is not None:
        return _steps_of(trace.offsets, np.flatnonzero(matching))
    return np.arange(trace.steps)


def sequence_blocks(data: ViewData, numbers: NDArray[np.int64], *, safe: bool = False) -> Blocks:
    """Sequences as frames of at most 1,024 rows.

    Parameters
    ----------
    data : ViewData
        The trace.
    numbers : (n,) int64
        Which sequences.
    safe : bool
        Whether text that a spreadsheet would take for a formula gets an apostrophe before it.

    Yields
    ------
    pandas.DataFrame
        ``sequence, id, split, class, predicted, correct, confidence, words, text``; at least one frame, empty if need
        be.
    """
    trace, text = data.trace, _guard if safe else _plain
    names = np.array([*map(text, trace.classes), "unknown"], object)
    splits = np.array([*map(text, trace.splits), ""], object)
    lexicon, surface, ids = np.array(trace.lexicon, object), data.surface, trace.ids
    labels, sure = trace.labels.astype(np.int64), trace.final_probabilities.max(axis=1)
    for rows in _cut(numbers, SEQUENCE_ROWS):
        starts, stops = trace.offsets[rows].tolist(), trace.offsets[rows + 1].tolist()
        known = labels[rows] >= 0
        correct = pd.array(labels[rows] == data.final[rows], "boolean")
        correct[~known] = pd.NA
        yield pd.DataFrame({
            "sequence": rows,
            "id": _texts([text(ids[i]) for i in rows.tolist()]),
            "split": _texts(splits[trace.split[rows].astype(np.int64)]),
            "class": _texts(names[labels[rows]]),
            "predicted": _texts(names[data.final[rows]]),
            "correct": correct,
            "confidence": sure[rows].astype(np.float32),
            "words": trace.lengths[rows],
            "text": _texts([text(" ".join(lexicon[surface[a:b]])) for a, b in zip(starts, stops, strict=True)]),
        })  # fmt: skip


def state_blocks(
    data: ViewData, steps: NDArray[np.int64], projection: str | None = None, *, safe: bool = False
) -> Blocks:
    """States as frames of at most 65,536 rows.

    Parameters
    ----------
    data : ViewData
        The trace.
    steps : (n,) int64
        Which states, by their number in the trace.
    projection : str, optional
        The map whose coordinates are given.
    safe : bool
        Whether text that a spreadsheet would take for a formula gets an apostrophe before it.

    Yields
    ------
    pandas.DataFrame
        ``state, sequence, id, position, word, predicted, confidence, class, x, y``, the last two where there is a map;
        positions count from 1.
    """
    trace, text = data.trace, _guard if safe else _plain
    names = np.array([*map(text, trace.classes), "unknown"], object)
    lexicon = np.array([text(word) for word in trace.lexicon], object)
    labels, points = trace.labels.astype(np.int64), None if projection is None else data.coordinates(projection)
    positions, ids = trace.positions, trace.ids
    for rows in _cut(steps, STATE_ROWS):
        sequence = _sequence_of(trace.offsets, rows)
        inside, which = np.unique(sequence, return_inverse=True)
        columns: dict[str, Any] = {
            "state": rows,
            "sequence": sequence,
            "id": _texts(np.array([text(ids[i]) for i in inside.tolist()], object)[which]),
            "position": positions[rows].astype(np.int64) + 1,
            "word": _texts(lexicon[data.surface[rows]]),
            "predicted": _texts(names[data.predicted[rows].astype(np.int64)]),
            "confidence": data.confidence[rows],
            "class": _texts(names[labels[sequence]]),
        }
        if points is not None:
            columns |= {"x": points[rows, 0], "y": points[rows, 1]}
        yield pd.DataFrame(columns)


def text_blocks(data: ViewData, typed: Typed, projection: str | None = None, *, safe: bool = False) -> Blocks:
    """A text of one's own as the model read it, as one frame.

    Parameters
    ----------
    data : ViewData
        The trace of the model.
    typed : Typed
        What the model made of the text.
    projection : str, optional
        The map whose coordinates are given, if the text was placed in it.
    safe : bool
        Whether text that a spreadsheet would take for a formula gets an apostrophe before it.

    Yields
    ------
    pandas.DataFrame
        A row for each word: ``position, word, known, predicted, confidence``, ``probability of`` each class,
        ``step_distance`` (a share of the data set's largest), ``x, y``, the last two where there is a map; positions
        count from 1.
    """
    text, evolution = _guard if safe else _plain, typed.reading.evolution
    names = [text(name) for name in data.trace.classes]
    columns: dict[str, Any] = {
        "position": np.arange(1, len(typed) + 1),
        "word": _texts(np.array([text(word) for word in evolution.words], object)),
        "known": typed.reading.known,
        "predicted": _texts(np.array([names[c] for c in evolution.predicted.tolist()], object)),
        "confidence": evolution.confidence,
    }
    columns |= {f"probability of {name}": evolution.probabilities[:, c] for c, name in enumerate(names)}
    if len(typed.jumps) == len(typed):
        columns["step_distance"] = typed.jumps
    if projection in typed.places:
        places = typed.places[projection]
        columns |= {"x": places[:, 0], "y": places[:, 1]}
    yield pd.DataFrame(columns)


def frame_of(blocks: Blocks) -> pd.DataFrame:
    """All blocks as one frame, in memory."""
    return pd.concat(list(blocks), ignore_index=True)


def table_kind(path: str | os.PathLike[str]) -> str:
    """``"csv"`` or ``"parquet"``, by the ending of a file's name.

    Raises
    ------
    InputError
        Another ending.
    MissingExtraError
        Parquet, where pyarrow is not installed.
    """
    name = Path(path).name
    kind = Path(name).suffix.lower().lstrip(".")
    if kind not in TABLES:
        raise InputError(f"A table is written as .csv or .parquet, not {name!r}.")
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError(
            "Parquet files need 'pyarrow', which is not installed; install it with: "
            "python -m pip install 'hiddenstate[parquet]'"
        )
    return kind


def write_table(path: str | os.PathLike[str], blocks: Callable[[bool], Blocks]) -> int:
    """Write blocks as a CSV or Parquet file, which appears whole or not at all; one block is in memory at a time.

    Parameters
    ----------
    path : path-like
        Where to write; the ending says what.
    blocks : callable
        Gives the blocks; it is told whether text must be safe in a spreadsheet (for CSV).

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InputError, MissingExtraError
        See `table_kind`.
    """
    kind = table_kind(path)
    with atomic_path(path) as temporary:
        return _write_csv(temporary, blocks(True)) if kind == "csv" else _write_parquet(temporary, blocks(False))


def _write_csv(path: Path, blocks: Blocks) -> int:
    count = 0
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        for frame in blocks:
            frame.to_csv(file, index=False, header=count == 0, lineterminator="\n")
            count += len(frame)
    return count


def _write_parquet(path: Path, blocks: Blocks) -> int:
    import pyarrow as arrow
    from pyarrow import parquet

    count, writer = 0, None
    try:
        for frame in blocks:
            table = arrow.Table.from_pandas(frame, preserve_index=False)
            if writer is None:
                writer = parquet.ParquetWriter(path, table.schema.remove_metadata())
            writer.write_table(table.replace_schema_metadata(None))
            count += len(frame)
    finally:
        if writer is not None:
            writer.close()
    return count


def _plain(text: str) -> str:
    return text


def _guard(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _texts(values: Any) -> Any:
    return pd.array(values, "str")


def _cut(numbers: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    for at in range(0, max(len(numbers), 1), most):
        yield numbers[at : at + most]


def _sequence_of(offsets: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(offsets, steps, side="right") - 1, np.int64)


def _steps_of(offsets: NDArray[np.int64], sequences: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of all states of these sequences."""
    lengths = offsets[sequences + 1] - offsets[sequences]
    shift = np.repeat(offsets[sequences] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return np.arange(int(lengths.sum())) + shift if len(sequences) else np.zeros(0, np.int64)
