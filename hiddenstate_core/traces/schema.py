"""The store's format: names, shapes, dimension names and version, as `docs/trace-store.md` specifies them."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from hiddenstate_core.errors import InputError, StoreError
from hiddenstate_core.traces.record import CELL_GATES, Record

__all__ = [
    "FORMAT",
    "GATES",
    "RECORDABLE",
    "SCHEMA",
    "SCHEMAS",
    "StepArray",
    "check_attributes",
    "check_name",
    "chunk_rows",
    "create_step_array",
    "create_strings",
    "layer_path",
    "shard_rows",
    "step_arrays",
]

#: Value of the root attribute ``format``, by which a store is known.
FORMAT = "hiddenstate-trace"
#: Version of the format that this package writes.
SCHEMA = 2
#: Versions that it reads.
SCHEMAS = (1, 2)
#: Gates of an LSTM cell, in the order of the network's kernels.
GATES = CELL_GATES["lstm"]
#: Quantities that can be recorded for every layer at every step.
RECORDABLE = ("hidden", "cell", "gates")

_CHUNK_ROWS = 1024
_SHARD_BYTES = 32 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclasses.dataclass(frozen=True)
class StepArray:
    """One array with a row per recorded step: where it lies in the store, and what its columns are.

    `dtype` is a NumPy type's name, or ``"bfloat16"``, which is stored as the bit patterns, uint16, with an attribute.
    """

    path: str
    width: int | None
    dtype: str
    column: str

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Dimension names, ``("step",)`` or ``("step", column)``."""
        return ("step",) if self.width is None else ("step", self.column)

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of an element in the store."""
        return np.dtype("uint16" if self.dtype == "bfloat16" else self.dtype)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.stored.itemsize * (self.width or 1)


def layer_path(layer: int, quantity: str, direction: str = "forward") -> str:
    """Path of a recorded quantity: ``layers/0/forward/hidden``, ``layers/0/backward/gates/input``."""
    return f"layers/{layer}/{direction}/{quantity}"


def step_arrays(
    units: Sequence[int], directions: Sequence[str], record: Record, *, task: str, outputs: int
) -> Iterator[StepArray]:
    """Every array that a row is written to at each recorded step.

    Parameters
    ----------
    units : sequence of int
        Units of each layer, in each direction.
    directions : sequence of str
        ``"forward"``, ``"backward"`` or both.
    record : Record
        What is kept, resolved (see `Record.resolve`).
    task : str
        ``"classification"`` or ``"language_model"``.
    outputs : int
        Classes, or words of the vocabulary.
    """
    if record.probabilities and task == "classification":
        yield StepArray("steps/probabilities", outputs, "float32", "class")
    elif record.probabilities:
        top = min(record.top, outputs)
        yield StepArray("steps/top_tokens", top, "int32", "rank")
        yield StepArray("steps/top_probabilities", top, "float32", "rank")
        yield StepArray("steps/target_probability", None, "float32", "")
    names = [name for name, kept in (("hidden", record.hidden), ("cell", record.cell)) if kept]
    names += [f"gates/{gate}" for gate in record.gates]
    for layer in record.layers or ():
        for direction in directions:
            for name in names:
                yield StepArray(layer_path(layer, name, direction), units[layer], record.dtype, "unit")


def chunk_rows(steps: int) -> int:
    """Rows of a chunk: small enough that reading one sequence reads little else."""
    return max(1, min(_CHUNK_ROWS, steps))


def shard_rows(steps: int, row_bytes: int) -> int:
    """Rows of a shard: about 32 MiB of the widest array, whose row has `row_bytes`; a whole number of chunks."""
    chunk = chunk_rows(steps)
    by_size = _SHARD_BYTES // max(row_bytes, 1)
    wanted = min(max(by_size, 4 * chunk), 262_144, max(steps, 1))
    return -(-wanted // chunk) * chunk


def create_step_array(
    group: zarr.Group, spec: StepArray, steps: int, shard: int, *, compressed: bool = True
) -> zarr.Array[Any]:
    """Create a step array at its full size, empty, in the place of one of that name.

    Uncompressed shards hold their rows one after another (see `ShardLayout`); float32 states lose but 8 % of their
    size to Zstandard at a higher cost than computing them.
    """
    chunk = chunk_rows(steps)
    tail = () if spec.width is None else (spec.width,)
    with warnings.catch_warnings():
        # Zarr warns of the sharding codec's partial writes; whole shards are written here.
        warnings.simplefilter("ignore")
        return group.create_array(
            spec.path,
            shape=(steps, *tail),
            chunks=(chunk, *tail),
            shards=(shard, *tail),
            dtype=spec.stored,
            compressors=ZstdCodec(level=1) if compressed else None,
            fill_value=0,
            dimension_names=spec.dimensions,
            attributes={"bfloat16": True} if spec.dtype == "bfloat16" else None,
            config={"write_empty_chunks": True},
            overwrite=True,
        )


def create_strings(group: zarr.Group, path: str, values: Sequence[str], dimension: str) -> None:
    """Store a list of texts as a variable-length UTF-8 array, replacing one of that name.

    Lone surrogates become U+FFFD.
    """
    try:
        "".join(values).encode()  # all at once, since nearly no list has any
        clean = list(values)
    except UnicodeEncodeError:
        clean = [v.encode("utf-8", "replace").decode("utf-8") for v in values]
    array = group.create_array(
        path, shape=(len(clean),), chunks=(max(1, len(clean)),), dtype=str, dimension_names=(dimension,),
        overwrite=True,
    )  # fmt: skip
    if clean:
        array[:] = np.array(clean, dtype=object)


def check_name(name: str, of: str) -> str:
    """Return `name` if it may name a group in the store, else raise `InputError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"A {of}'s name is 1 to 64 letters, digits, '-' or '_', and starts with a letter or digit; not {name!r}."
        )
    return name


def check_attributes(store: Path, attributes: Mapping[str, Any]) -> None:
    """Check that the root attributes that a reader needs are there and of their types.

    Raises
    ------
    StoreError
        One is missing or of another type.
    """

    def require(name: str, fits: bool, what: str) -> None:
        if name not in attributes:
            raise StoreError(f"{store} lacks the attribute {name!r}; the store is damaged.")
        if not fits:
            raise StoreError(f"{store}: the attribute {name!r} must be {what}, not {attributes[name]!r:.60}.")

    def listed(name: str, kind: type | tuple[type, ...]) -> bool:
        value = attributes.get(name)
        return isinstance(value, list) and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)

    named = listed("classes", str) and (len(attributes["classes"]) > 0 or attributes.get("task") == "language_model")
    require("classes", named, "a list of class names")
    require("layers", listed("layers", int) and all(n > 0 for n in attributes["layers"]), "a list of sizes")
    require("recorded", listed("recorded", str), "a list of quantities")
    require("splits", listed("splits", str), "a list of names")
    require("fingerprint", isinstance(attributes.get("fingerprint"), str), "a text")
    numbers = listed("initial_probabilities", (int, float))
    fits = numbers and len(attributes["initial_probabilities"]) == len(attributes["classes"])
    require("initial_probabilities", fits, "a number for each class")
    for name, kind in (("seed", int), ("test_accuracy", (int, float))):
        if attributes.get(name) is not None:
            require(name, isinstance(attributes[name], kind), "a number or null")
