"""Writes a trace store shard by shard, beside its final place; knows which shards are done; renames at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import InputError, StoreError
from hiddenstate_core.traces.schema import (
    FORMAT,
    SCHEMA,
    StepArray,
    create_step_array,
    create_strings,
    shard_rows,
    step_arrays,
)

__all__ = ["Plan", "Writer", "check_target", "locked"]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a recording will hold, fixed before its first step is run.

    Parameters
    ----------
    corpus : Corpus
        The sequences as the model reads them.
    layers : tuple of int
        Units of each layer.
    record : tuple of str
        Quantities kept for every layer; see `RECORDABLE`.
    attributes : dict
        Root attributes; JSON values. ``fingerprint`` tells recordings apart.
    """

    corpus: Corpus
    layers: tuple[int, ...]
    record: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def steps(self) -> int:
        """Rows of the step arrays."""
        return len(self.corpus.tokens)

    @property
    def shard(self) -> int:
        """Rows of a shard."""
        return shard_rows(self.steps, self.layers)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.steps // self.shard)

    def rows(self, shard: int) -> tuple[int, int]:
        """First row of a shard and one past its last."""
        return shard * self.shard, min((shard + 1) * self.shard, self.steps)

    def sequences(self, shard: int) -> NDArray[np.int64]:
        """Numbers of the sequences that have a row in a shard; those across a border belong to both."""
        start, stop = self.rows(shard)
        offsets = self.corpus.offsets
        first = int(np.searchsorted(offsets, start, side="right")) - 1
        last = int(np.searchsorted(offsets, stop, side="left"))
        chosen = np.arange(first, last, dtype=np.int64)
        return chosen[np.diff(offsets)[chosen] > 0]

    def arrays(self) -> tuple[StepArray, ...]:
        """The step arrays that shards are written to."""
        return tuple(step_arrays(self.layers, len(self.attributes["classes"]), self.record))


class Writer:
    """One recording in progress, in ``<target>.partial``.

    A shard is marked done after its rows of every array are on disk; the marks are files beside the arrays and go
    away with the final rename. A recording found half done is gone on with if its fingerprint is the same, and begun
    anew otherwise.
    """

    def __init__(self, plan: Plan, target: Path) -> None:
        self.plan = plan
        self.target = target
        self.partial = target.with_name(target.name + ".partial")
        self._marks = self.partial / ".done"
        self._identity = self.partial / ".recording"
        if not self._resumable():
            self._begin()
        self._group = zarr.open_group(self.partial, mode="r+", use_consolidated=False)
        self._arrays: dict[str, Any] = {spec.path: self._group[spec.path] for spec in plan.arrays()}

    def missing(self) -> list[int]:
        """Numbers of the shards that are not on disk yet."""
        return [k for k in range(self.plan.shards) if not (self._marks / str(k)).exists()]

    def write(self, shard: int, rows: Mapping[str, NDArray[np.float32]]) -> None:
        """Write all rows of a shard, of every array, and mark it done."""
        start, stop = self.plan.rows(shard)
        for path, array in self._arrays.items():
            array[start:stop] = rows[path]
        (self._marks / str(shard)).touch()

    def finish(self, initial_probabilities: NDArray[np.float32]) -> None:
        """Write what follows from the steps, and move the store to its place."""
        corpus = self.plan.corpus
        last = corpus.offsets[1:] - 1
        some = corpus.lengths > 0
        final = np.tile(initial_probabilities.astype(np.float32), (len(corpus), 1))
        if some.any():
            final[some] = self._arrays["steps/probabilities"].oindex[last[some]]
        _small(self._group, "sequences/probabilities", final, ("sequence", "class"))
        shutil.rmtree(self._marks)
        self._identity.unlink()
        if self.target.exists():
            old = self.target.with_name(f"{self.target.name}.replaced")
            shutil.rmtree(old, ignore_errors=True)
            self.target.replace(old)
            self.partial.replace(self.target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            self.partial.replace(self.target)

    def _resumable(self) -> bool:
        try:
            return self._identity.read_text(encoding="utf-8") == self.plan.attributes["fingerprint"]
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return False

    def _begin(self) -> None:
        """Create every array at its full size; the identity is written last, so that a torn beginning is begun anew."""
        shutil.rmtree(self.partial, ignore_errors=True)
        try:
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            group = zarr.create_group(
                self.partial, zarr_format=3, attributes={"format": FORMAT, "schema": SCHEMA, **self.plan.attributes}
            )
        except OSError as error:
            raise StoreError(f"The store {self.target} cannot be written: {error.strerror or error}.") from error
        corpus, plan = self.plan.corpus, self.plan
        for name, values in (("offsets", corpus.offsets), ("labels", corpus.labels), ("split", corpus.split)):
            _small(group, f"sequences/{name}", values, ("boundary" if name == "offsets" else "sequence",))
        create_strings(group, "sequences/ids", corpus.ids, "sequence")
        create_strings(group, "vocabulary/words", corpus.vocabulary.words, "token")
        # Only the words that occur: a trace of a hundred reviews need not carry the corpus' whole lexicon.
        used, surface = np.unique(corpus.surface, return_inverse=True)
        create_strings(group, "lexicon/words", [corpus.lexicon[i] for i in used.tolist()], "word")
        for name, ids in (("tokens", corpus.tokens), ("surface", surface.astype(np.int32))):
            array = create_step_array(group, StepArray(f"steps/{name}", None, "int32", ""), plan.steps, plan.shard)
            array[:] = ids
        for spec in plan.arrays():
            create_step_array(group, spec, plan.steps, plan.shard)
        self._marks.mkdir()
        self._identity.write_text(str(plan.attributes["fingerprint"]), encoding="utf-8")


def _small(group: zarr.Group, path: str, values: NDArray[Any], dimensions: tuple[str, ...]) -> None:
    """Store a small array in one chunk, replacing one of that name."""
    array = group.create_array(
        path,
        shape=values.shape,
        chunks=tuple(max(1, n) for n in values.shape),
        dtype=values.dtype,
        dimension_names=dimensions,
        overwrite=True,
    )
    if values.size:
        array[:] = values


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the right to write the store at `target`; a second process is refused.

    The lock is the operating system's, on a file beside the store, so it ends with its process however that ends.

    Raises
    ------
    StoreError
        Another process is writing this store.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    path = target.with_name(f".{target.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle: IO[str] = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The store {target} cannot be written: {error.strerror or error}.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise StoreError(
                f"Another process ({owner}) is recording into {target}; wait for it, or choose another path."
            ) from error
        try:
            same = os.path.samestat(os.fstat(handle.fileno()), path.stat())
        except FileNotFoundError:
            same = False
        if not same:  # the former owner removed the file between our opening it and locking it
            raise StoreError(f"Another process was recording into {target} just now; run the same command again.")
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def check_target(target: Path, fingerprint: str, *, overwrite: bool) -> bool:
    """Whether `target` already is this very recording; refuse to replace anything that is not a trace store.

    Raises
    ------
    StoreError
        Another recording lies there and `overwrite` is False.
    InputError
        Something that is not a trace store lies there.
    """
    old = target.with_name(f"{target.name}.replaced")
    if old.exists() and not target.exists():
        # A process died between the two renames of `Writer.finish`: the former store is still whole.
        old.replace(target)
    if not target.exists():
        return False
    try:
        attributes = json.loads((target / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        found = attributes["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        found = False
    if not found:
        raise InputError(f"{target} exists and is not a trace store; choose another path.")
    if attributes.get("fingerprint") == fingerprint and attributes.get("schema") == SCHEMA:
        return True
    if not overwrite:
        raise StoreError(
            f"{target} holds another recording (fingerprint {str(attributes.get('fingerprint'))[:12]}, this one is "
            f"{fingerprint[:12]}): its model, corpus or options differ. Overwrite it, or choose another path."
        )
    return False
