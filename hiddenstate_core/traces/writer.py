"""Writes a trace store portion by portion, beside its final place; knows which are done; renames at the end."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import StoreError
from hiddenstate_core.traces.checksums import (
    NAME,
    FileChecksum,
    checksum_of_file,
    write_checksums,
)
from hiddenstate_core.traces.plan import Plan, Portion, portion_shards, words_that_occur
from hiddenstate_core.traces.schema import (
    FORMAT,
    SCHEMA,
    StepArray,
    chunk_rows,
    create_step_array,
    create_strings,
)
from hiddenstate_core.traces.shardfile import aligned_empty, aside_of, write_shard
from hiddenstate_core.traces.shards import ShardLayout

__all__ = ["LEFT_BEHIND", "Progress", "Writer", "marked_files", "partial_of", "progress_of", "sweep"]

_MARKS = ".done"
_IDENTITY = ".recording"
#: What a writer that died between its last rename and its end leaves in a finished store; the next one sweeps it.
LEFT_BEHIND = re.compile(r"\.done/(\d+|corpus)\.json|\.recording")
#: Name, in a portion's mark, of the class probabilities of its sequences: float32, little-endian, base64.
_FINAL = "final"
#: Name of the mark that says that everything known before the first step is on disk.
_CORPUS = "corpus"
#: Ids that are looked up together.
_FEW = 2**16
#: Rows of a shard of ids.
_ID_ROWS = 2**21


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far an unfinished recording has come.

    Parameters
    ----------
    fingerprint : str
        Which recording.
    done, shards : int
        Shards of every array that are on disk, and shards in all.
    """

    fingerprint: str
    done: int
    shards: int


class Writer:
    """One recording in progress, in ``<target>.partial``.

    A portion is marked done after its rows of every array are on disk and synced; the mark, a file beside the arrays,
    carries their checksums. A recording found half done is gone on with if it is the same, and refused otherwise.

    Parameters
    ----------
    plan : Plan
        What is recorded.
    target : Path
        Where the store will be.
    memory : int or None
        Bytes that a portion's rows may take, None for what suits the network (see `portion_shards`); of a recording
        that is gone on with, the portions stay what they were.
    overwrite : bool
        Whether another recording that was begun there is thrown away.

    Raises
    ------
    StoreError
        Another recording was begun there, the folder cannot be written, or the disk has not enough room.
    """

    def __init__(self, plan: Plan, target: Path, *, memory: int | None, overwrite: bool = False) -> None:
        self.plan = plan
        self.target = target
        self.partial = partial_of(target)
        self._has_corpus = False
        #: Checksums of what this writer has written, by mark.
        self._written: dict[int | str, Mapping[str, FileChecksum]] = {}
        begun = _identity(self.partial)
        wanted = {"fingerprint": plan.attributes["fingerprint"], "compressed": plan.compressed}
        if begun is not None and {k: begun[k] for k in wanted} == wanted:
            self.portion_shards = int(begun["portion_shards"])
        else:
            if begun is not None and not overwrite:
                raise StoreError(_other(target, self.partial, str(begun["fingerprint"]), wanted, begun))
            self.portion_shards = portion_shards(plan, memory)
            _require_room(plan, target)
            self._begin({**wanted, "portion_shards": self.portion_shards, "shards": plan.shards})
        self._group = zarr.open_group(self.partial, mode="r+", use_consolidated=False)
        self._arrays: dict[str, Any] = {a.path: self._group[a.path] for a in plan.arrays}
        self._layouts = {a.path: _layout(plan, a, plan.shard) for a in plan.arrays}

    @property
    def portions(self) -> int:
        """Number of portions."""
        return -(-self.plan.shards // self.portion_shards)

    @property
    def portion_bytes(self) -> int:
        """Bytes of the rows of a portion, and of what it keeps beside them while it is run."""
        plan = self.plan
        return self.portion_shards * plan.shard * (plan.row_bytes + plan.record.every * plan.step_bytes)

    def portion(self, number: int) -> Portion:
        """A portion by number."""
        return self.plan.portion(number, self.portion_shards)

    def missing(self) -> list[int]:
        """Numbers of the portions that are not on disk yet, or not as they were written; O(bytes on disk)."""
        return [k for k in range(self.portions) if not self._is_done(k)]

    def write_corpus(self) -> None:
        """Write everything that is known before the first step is run and mark it done, unless it is there already.

        May run while the first portion is computed.
        """
        if not self._has_corpus and not self._are_whole(self._mark(_CORPUS)):
            written = _write_corpus(self._group, self.partial, self.plan)
            self._mark_done(_CORPUS, written)
        self._has_corpus = True  # not looked at again

    def write(self, portion: Portion, rows: Mapping[str, NDArray[Any]], final: NDArray[np.float32]) -> None:
        """Write all rows of a portion, of every array, and mark it done.

        Parameters
        ----------
        portion : Portion
            Which.
        rows : dict of (R, W) arrays
            Its rows by array.
        final : (K, C) float32
            Class probabilities of the portion's sequences.
        """
        files: dict[str, FileChecksum] = {}
        for path, array in self._arrays.items():
            values = rows[path]
            if self.plan.compressed:
                shape = (portion.stop - portion.start, *array.shape[1:])
                array[portion.start : portion.stop] = values.reshape(shape)
                for shard in portion.shards:
                    name = f"{path}/{self._layouts[path].path(shard)}"
                    files[name] = checksum_of_file(self.partial / name)
                continue
            for shard in portion.shards:
                start, stop = self._layouts[path].span(shard)
                name = f"{path}/{self._layouts[path].path(shard)}"
                here = values[start - portion.start : stop - portion.start]
                files[name] = write_shard(self.partial / name, here, self._layouts[path], shard)
        owned = self._owned(portion)
        # Empty sequences have no row in `final`, so a sequence's place is looked up, not counted.
        self._mark_done(portion.number, files, final[np.searchsorted(portion.sequences, owned)])

    def finish(self) -> None:
        """Write what follows from the portions, and move the store to its place."""
        self.write_corpus()
        if self.plan.spec.task == "classification":
            self._write_final_probabilities()
        files: dict[str, FileChecksum] = {}
        for mark in (_CORPUS, *range(self.portions)):
            written = self._written.get(mark)
            files.update(_files_of(self._mark(mark)) if written is None else written)
        for path in sorted(self.partial.rglob("*")):
            name = path.relative_to(self.partial).as_posix()
            if name in files or name.startswith((_MARKS, _IDENTITY)) or name == NAME or not path.is_file():
                continue
            if path.suffix == ".partial" or (path.name.startswith(".") and path.suffix == ".tmp"):
                path.unlink(missing_ok=True)  # of a writer that was killed: Zarr's, or ours
            else:
                # Ids by their chunks, so that damage is placed; what has no rows in larger blocks.
                ids = name.startswith("steps/") and path.name != "zarr.json"
                files[name] = checksum_of_file(path, 4 * chunk_rows(self.plan.steps)) if ids else checksum_of_file(path)
        write_checksums(self.partial, files)
        if self.target.exists():
            old = self.target.with_name(f"{self.target.name}.replaced")
            shutil.rmtree(old, ignore_errors=True)
            self.target.replace(old)
            self.partial.replace(self.target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            self.partial.replace(self.target)
        sweep(self.target)

    # -- what is on disk --------------------------------------------------------------------------------------------

    def _mark(self, name: int | str) -> Path:
        return self.partial / _MARKS / f"{name}.json"

    def _mark_done(
        self, name: int | str, files: Mapping[str, FileChecksum], final: NDArray[np.float32] | None = None
    ) -> None:
        mark: dict[str, Any] = {"files": {path: found.to_json() for path, found in files.items()}}
        if final is not None:
            mark[_FINAL] = base64.b64encode(final.astype("<f4").tobytes()).decode()
        path = self._mark(name)
        aside = aside_of(path)
        # Not synced: a mark that a power cut loses is a portion recorded again, and files are compared with a mark's
        # checksums.
        try:
            aside.write_text(json.dumps(mark, separators=(",", ":")), encoding="utf-8")
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        self._written[name] = files

    def _is_done(self, number: int) -> bool:
        """Whether a portion is marked, and its files are as they were written."""
        try:
            self._final(number)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return self._are_whole(self._mark(number))

    def _final(self, number: int) -> NDArray[np.float32]:
        """Class probabilities of the sequences that a portion owns, (K, C), from its mark."""
        found = base64.b64decode(json.loads(self._mark(number).read_text(encoding="utf-8"))[_FINAL], validate=True)
        classes = self.plan.outputs if self.plan.spec.task == "classification" else 0
        shape = len(self._owned(self.portion(number))), classes
        return np.frombuffer(found, "<f4").reshape(shape).astype(np.float32)

    def _are_whole(self, mark: Path) -> bool:
        """Whether a mark is there, and its files are as they were written."""
        try:
            expected = {self.partial / name: entry for name, entry in _files_of(mark).items()}
            # Sizes first: they tell most at no cost.
            return all(path.stat().st_size == entry.size for path, entry in expected.items()) and all(
                checksum_of_file(path, entry.block) == entry for path, entry in expected.items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _owned(self, portion: Portion) -> NDArray[np.int64]:
        """Sequences whose last row lies in a portion: each is in one of them."""
        last = self.plan.offsets[portion.sequences + 1] - 1
        return portion.sequences[(last >= portion.start) & (last < portion.stop)]

    def _write_final_probabilities(self) -> None:
        initial = np.asarray(self.plan.attributes["initial_probabilities"], np.float32)
        final = np.tile(initial, (len(self.plan.corpus), 1))
        for number in range(self.portions):
            final[self._owned(self.portion(number))] = self._final(number)
        _small(self._group, "sequences/probabilities", final, ("sequence", "class"))

    def _begin(self, identity: dict[str, Any]) -> None:
        """Create every array at its full size; the identity is written last, so that a torn beginning is begun anew."""
        shutil.rmtree(self.partial, ignore_errors=True)
        try:
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            attributes = {"format": FORMAT, "schema": SCHEMA, **self.plan.attributes}
            group = zarr.create_group(self.partial, zarr_format=3, attributes=attributes)
        except OSError as error:
            raise StoreError(f"The store {self.target} cannot be written: {error.strerror or error}.") from error
        for spec in self.plan.arrays:
            create_step_array(group, spec, self.plan.steps, self.plan.shard, compressed=self.plan.compressed)
        (self.partial / _MARKS).mkdir()
        write_text(self.partial / _IDENTITY, json.dumps(identity))


def partial_of(target: Path) -> Path:
    """Where a recording lies while it is made."""
    if target.name in ("", ".."):  # such as ".", from within a store
        target = target.resolve()
    return target.parent / f"{target.name}.partial"


def progress_of(target: Path) -> Progress | None:
    """How far the unfinished recording of a store has come, by its marks; None where none is begun."""
    partial = partial_of(target)
    begun = _identity(partial)
    if begun is None:
        return None
    marked = sum(1 for mark in (partial / _MARKS).glob("*.json") if mark.stem != _CORPUS)
    shards = int(begun["shards"])
    return Progress(str(begun["fingerprint"]), min(shards, marked * int(begun["portion_shards"])), shards)


def marked_files(target: Path) -> dict[str, FileChecksum]:
    """Checksums of the files of an unfinished recording that are marked done, by their path in it."""
    files: dict[str, FileChecksum] = {}
    for mark in sorted((partial_of(target) / _MARKS).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            files |= _files_of(mark)
    return files


def sweep(store: Path) -> None:
    """Remove what a writer that died between its last rename and its end has left in a finished store."""
    shutil.rmtree(store / _MARKS, ignore_errors=True)
    (store / _IDENTITY).unlink(missing_ok=True)


def _files_of(mark: Path) -> dict[str, FileChecksum]:
    """Checksums of the files that a mark is for, by path in the store."""
    listed = json.loads(mark.read_text(encoding="utf-8"))["files"]
    return {str(name): FileChecksum.from_json(entry) for name, entry in listed.items()}


def _identity(partial: Path) -> dict[str, Any] | None:
    """What the recording begun in a folder is; None where none is, or one whose beginning was torn."""
    try:
        found = json.loads((partial / _IDENTITY).read_text(encoding="utf-8"))
        return found if int(found["portion_shards"]) > 0 and int(found["shards"]) > 0 and found["fingerprint"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _other(target: Path, partial: Path, found: str, wanted: Mapping[str, Any], begun: Mapping[str, Any]) -> str:
    if found == wanted["fingerprint"]:
        return (
            f"{partial} holds this recording half done, {'with' if begun['compressed'] else 'without'} compression; "
            "go on with it the same way, pass overwrite to begin anew, or choose another path."
        )
    return (
        f"{partial} holds another recording, half done (fingerprint {found[:12]}, this one is "
        f"{str(wanted['fingerprint'])[:12]}): its model, vocabulary, corpus or options differ. Finish that one with "
        f"what it was begun with, pass overwrite to throw it away, or choose another path than {target}."
    )


def _require_room(plan: Plan, target: Path) -> None:
    """Refuse to begin what the disk cannot hold."""
    needed = plan.steps * plan.row_bytes
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        if needed > free and not plan.compressed:
            raise StoreError(
                f"The recording takes {needed / 1e9:.1f} GB, but the disk of {target} has {free / 1e9:.1f} GB free; "
                "record fewer quantities or layers, float16, or every second step, or choose another disk."
            )


def _layout(plan: Plan, array: StepArray, rows: int) -> ShardLayout:
    return ShardLayout(rows, chunk_rows(plan.steps), array.width, str(array.stored), plan.steps)


def _write_corpus(group: zarr.Group, folder: Path, plan: Plan) -> dict[str, FileChecksum]:
    """Everything of a store that is known before the first step is run; checksums of its large files by path."""
    corpus = plan.corpus
    files: dict[str, FileChecksum] = {}
    for name, values in (("offsets", plan.offsets), ("labels", corpus.labels), ("split", corpus.split)):
        _small(group, f"sequences/{name}", values, ("boundary" if name == "offsets" else "sequence",))
    create_strings(group, "sequences/ids", corpus.ids, "sequence")
    create_strings(group, "vocabulary/words", corpus.vocabulary.words, "token")
    # Only the words that occur: a trace of a hundred reviews need not carry the corpus' whole lexicon.
    kept = plan.kept
    used = plan.words if kept is None else words_that_occur(corpus, kept)
    number = np.zeros(len(corpus.lexicon), np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    create_strings(group, "lexicon/words", [corpus.lexicon[i] for i in used.tolist()], "word")

    def of_steps(ids: NDArray[np.int32]) -> Callable[[slice], NDArray[np.int32]]:
        return lambda rows: ids[rows if kept is None else kept[rows]]

    surface = of_steps(corpus.surface)
    columns = {"tokens": of_steps(corpus.tokens), "surface": lambda rows: number[surface(rows)]}
    if kept is not None:
        _small(group, "sequences/lengths", corpus.lengths, ("sequence",))
        position = (kept - np.repeat(corpus.offsets[:-1], np.diff(plan.offsets))).astype(np.int32)
        columns["position"] = position.__getitem__
    rows = min(_ID_ROWS, -(-plan.steps // chunk_rows(plan.steps)) * chunk_rows(plan.steps))
    # One shard at a time, in memory that can be written from directly.
    room = aligned_empty((rows,), np.int32)
    for name, ids in columns.items():
        array = StepArray(f"steps/{name}", None, "int32", "")
        create_step_array(group, array, plan.steps, rows, compressed=False)
        layout = _layout(plan, array, rows)
        for shard in range(layout.shards):
            start, stop = layout.span(shard)
            here = room[: stop - start]
            for at in range(0, len(here), _FEW):  # what is looked up stays in a cache
                few = here[at : at + _FEW]
                few[:] = ids(slice(start + at, start + at + len(few)))
            name = f"{array.path}/{layout.path(shard)}"
            files[name] = write_shard(folder / name, here, layout, shard)
    return files


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
