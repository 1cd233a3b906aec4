"""Trace stores written with zarr-python alone, by the format's document, for tests of reading."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

Array = np.ndarray[Any, Any]
GATES = {"lstm": ("input", "forget", "candidate", "output"), "gru": ("reset", "update", "candidate"), "rnn": ()}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a store of schema 2 holds."""

    lengths: tuple[int, ...] = (0, 1, 9, 14, 3, 20)
    hidden: tuple[int, ...] = (5, 3)
    layers: tuple[int, ...] = (0, 1)
    cell: str = "lstm"
    direction: str = "forward"
    task: str = "classification"
    recorded: tuple[str, ...] = ("hidden",)
    gates: tuple[str, ...] = ()
    probabilities: bool = True
    dtype: str = "float32"
    every: int = 1
    compressed: bool = False
    shard: int = 12
    chunk: int = 4


def kept(lengths: tuple[int, ...], every: int) -> list[Array]:
    """Positions of each sequence's rows."""
    found = []
    for length in lengths:
        rows = list(range(every - 1, length, every))
        found.append(np.array(rows if not length or (rows and rows[-1] == length - 1) else [*rows, length - 1], int))
    return found


def bfloat16(values: Array) -> Array:
    """Values rounded towards zero to bfloat16, in float32."""
    return np.asarray(values, np.float32).view(np.uint32).__and__(np.uint32(0xFFFF0000)).view(np.float32)


def write(path: Path, kind: Kind, seed: int = 0) -> dict[str, Array]:
    """Write a store; returns what each of its arrays holds, as a reader is to give it."""
    rng = np.random.default_rng(seed)
    positions = kept(kind.lengths, kind.every)
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in positions])]).astype(np.int64)
    steps, sequences = int(offsets[-1]), len(kind.lengths)
    classes = ["negative", "neutral", "positive"] if kind.task == "classification" else []
    directions = ("forward", "backward") if kind.direction == "both" else (kind.direction,)
    words = ["<unk>", *(f"word{i}" for i in range(6))]
    held: dict[str, Array] = {
        "sequences/offsets": offsets,
        "sequences/labels": (np.arange(sequences) % 4 - 1 if classes else np.full(sequences, -1)).astype(np.int32),
        "sequences/split": (np.arange(sequences) % 2).astype(np.int8),
        "steps/tokens": rng.integers(0, len(words), steps).astype(np.int32),
        "steps/surface": rng.integers(0, len(words) - 1, steps).astype(np.int32),
    }
    if kind.every > 1:
        held["sequences/lengths"] = np.array(kind.lengths, np.int64)
        held["steps/position"] = np.concatenate(positions).astype(np.int32)
    if classes and kind.probabilities:
        held["steps/probabilities"] = rng.dirichlet(np.ones(3), steps).astype(np.float32)
        held["sequences/probabilities"] = rng.dirichlet(np.ones(3), sequences).astype(np.float32)
    elif kind.probabilities:
        held["steps/top_tokens"] = rng.integers(0, len(words), (steps, 2)).astype(np.int32)
        held["steps/top_probabilities"] = rng.random((steps, 2)).astype(np.float32)
        target = rng.random(steps).astype(np.float32)
        target[offsets[1:][np.diff(offsets) > 0] - 1] = np.nan
        held["steps/target_probability"] = target
    names = [q for q in kind.recorded if q != "gates"]
    names += [f"gates/{gate}" for gate in kind.gates]
    for layer in kind.layers:
        for direction in directions:
            for name in names:
                values = rng.normal(size=(steps, kind.hidden[layer])).astype(np.float32)
                values = bfloat16(values) if kind.dtype == "bfloat16" else values.astype(kind.dtype)
                held[f"layers/{layer}/{direction}/{name}"] = values
    record = {
        "hidden": "hidden" in kind.recorded,
        "cell": "cell" in kind.recorded,
        "gates": list(kind.gates),
        "layers": list(kind.layers),
        "probabilities": kind.probabilities,
        "top": 2,
        "dtype": kind.dtype,
        "every": kind.every,
    }
    attributes = {
        "format": "hiddenstate-trace",
        "schema": 2,
        "fingerprint": "f" * 64,
        "classes": classes,
        "layers": list(kind.hidden),
        "recorded": list(kind.recorded),
        "splits": ["train", "test"],
        "initial_probabilities": [0.2, 0.3, 0.5][: len(classes)],
        "seed": None,
        "test_accuracy": None,
        "cell": kind.cell,
        "direction": kind.direction,
        "task": kind.task,
        "gates": list(GATES[kind.cell]),
        "record": record,
    }
    group = zarr.create_group(path, zarr_format=3, attributes=attributes, overwrite=True)
    for name, values in held.items():
        _create(group, name, values, kind)
    for name, texts, axis in (
        ("sequences/ids", [f"text/{i}" for i in range(sequences)], "sequence"),
        ("vocabulary/words", words, "token"),
        ("lexicon/words", words[1:], "word"),
    ):
        array = group.create_array(name, shape=(len(texts),), chunks=(len(texts),), dtype=str, dimension_names=(axis,))
        array[:] = np.array(texts, dtype=object)
    return held


def _create(group: zarr.Group, name: str, values: Array, kind: Kind) -> None:
    columns = {"top_tokens": "rank", "top_probabilities": "rank", "probabilities": "class"}
    first = {"sequences/offsets": "boundary"}.get(name, "step" if not name.startswith("sequences") else "sequence")
    axes = (first, columns.get(name.rsplit("/", 1)[-1], "unit"))[: values.ndim]
    half = name.startswith("layers") and kind.dtype == "bfloat16"
    stored = (values.view(np.uint32) >> 16).astype(np.uint16) if half else values
    sharded = not name.startswith("sequences")
    tail = values.shape[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=((kind.chunk if sharded else max(1, len(values))), *tail),
            shards=(kind.shard, *tail) if sharded else None,
            dtype=stored.dtype,
            compressors=ZstdCodec(level=1) if kind.compressed or not sharded else None,
            dimension_names=axes,
            attributes={"bfloat16": True} if half else None,
            config={"write_empty_chunks": True},
        )
    if values.size:
        array[:] = stored
