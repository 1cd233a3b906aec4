"""`verify`: checks every file of a store against the checksums that were recorded with it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import HiddenStateError, StoreError
from hiddenstate_core.traces.checksums import NAME, FileChecksum, blocks_that_differ, read_checksums
from hiddenstate_core.traces.shards import ShardLayout
from hiddenstate_core.traces.trace import Trace
from hiddenstate_core.traces.writer import LEFT_BEHIND, marked_files, partial_of, progress_of

__all__ = ["Damage", "Verification", "verify"]

#: Groups that are added to a finished recording, and a checkpoint that may lie in it.
_LATER = frozenset({"projections", "neighbors", "analysis", "model"})
#: Told of bytes that were read.
Advance = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Damage:
    """A file that is not as it was written.

    Parameters
    ----------
    path : str
        The file, in the store.
    reason : str
        What is wrong with it.
    steps : tuple of (int, int)
        Rows of the store that it leaves in doubt, as ranges (first, one past the last); empty where it has none.
    sequences : tuple of int
        Sequences that these belong to.
    """

    path: str
    reason: str
    steps: tuple[tuple[int, int], ...] = ()
    sequences: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Parameters
    ----------
    store : Path
        The store, or the folder in which an unfinished recording lies.
    files, size : int
        Files that were checked, and their bytes.
    damage : tuple of Damage
        Files that are damaged or missing.
    unfinished : tuple of (int, int) or None
        Shards done and shards in all, where the recording is not finished.
    checksums : bool
        Whether the store has checksums; one without (schema 1, or another writer's) was decoded instead.
    """

    store: Path
    files: int
    size: int
    damage: tuple[Damage, ...]
    unfinished: tuple[int, int] | None = None
    checksums: bool = True

    @property
    def sequences(self) -> tuple[int, ...]:
        """Sequences that any damage leaves in doubt."""
        return tuple(sorted({sequence for damage in self.damage for sequence in damage.sequences}))

    @property
    def intact(self) -> bool:
        """Whether everything that was checked is as it was written, and the recording is finished."""
        return not self.damage and self.unfinished is None


def verify(path: str | os.PathLike[str], *, advance: Advance | None = None) -> Verification:
    """Check every file of a trace store against its recorded checksum. Nothing is changed; O(bytes).

    Projections and analyses are added later and have no checksums; they are decoded. So is everything in a store that
    has none.

    Parameters
    ----------
    path : path-like
        A store, or where one is being made: the shards that are marked done are then checked.
    advance : callable, optional
        Told how many bytes were read, from time to time.

    Returns
    -------
    Verification

    Raises
    ------
    StoreNotFoundError
        Nothing at `path`.
    StoreError
        Not a trace store, or one whose list of checksums is damaged.
    """
    target = Path(path)
    progress = progress_of(target)
    if progress is not None and not target.exists():
        return _unfinished(target, advance)
    listed = read_checksums(target)
    if listed is None:
        return _decoded(Trace(target))
    checked = [_check(target, name, expected, advance) for name, expected in listed.items()]
    damage = [found for found in checked if found is not None]
    offsets = _offsets(target, damage)
    damage = [_placed(target, found, offsets, listed[found.path].block) for found in damage]
    damage += [Damage(name, "was added after the recording") for name in _strangers(target, listed)]
    size = sum(expected.size for expected in listed.values())
    return Verification(target, len(listed), size, (*damage, *_additions(target)))


def _strangers(store: Path, listed: Mapping[str, FileChecksum]) -> Iterator[str]:
    """Files of the recording's own groups that were not recorded."""
    for folder, below, names in os.walk(store):
        below.sort()
        if Path(folder) == store:
            below[:] = [name for name in below if name not in _LATER]
        for name in sorted(names):
            found = (Path(folder) / name).relative_to(store).as_posix()
            if found not in listed and found != NAME and not LEFT_BEHIND.fullmatch(found):
                yield found


def _check(store: Path, name: str, expected: FileChecksum, advance: Advance | None) -> Damage | None:
    """Compare a file with its checksum; the numbers of its bad blocks stand in `Damage.steps` for now."""
    path = store / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise StoreError(f"{store / NAME} names {name!r}, which is not in the store; it is damaged.")
    if advance is not None:
        advance(float(expected.size))
    if not path.is_file():
        return Damage(name, "is missing", tuple((k, k + 1) for k in range(len(expected.values))))
    try:
        size = path.stat().st_size
        bad = list(blocks_that_differ(path, expected))
    except OSError as error:
        return Damage(name, f"cannot be read ({error.strerror or error})", ((0, len(expected.values)),))
    if not bad:
        return None
    what = "was changed" if size == expected.size else f"has {size:,} bytes instead of {expected.size:,}"
    return Damage(name, what, tuple((k, k + 1) for k in bad))


def _offsets(store: Path, damage: list[Damage]) -> NDArray[np.int64] | None:
    """Offsets of the store's sequences; None where they themselves are damaged."""
    if any(found.path.startswith(("sequences/offsets", "zarr.json")) for found in damage):
        return None
    try:
        return Trace(store).offsets
    except HiddenStateError:
        return None


def _placed(store: Path, found: Damage, offsets: NDArray[np.int64] | None, size: int) -> Damage:
    """The damage with rows and sequences in place of blocks."""
    array, _, rest = found.path.partition("/c/")
    shard = rest.split("/")[0]
    if offsets is None or not shard.isdigit() or not array.startswith(("steps/", "layers/")):
        return dataclasses.replace(found, steps=())
    total = int(offsets[-1])
    rows, block = _rows(store / array, total, size)
    first, last = int(shard) * rows, min((int(shard) + 1) * rows, total)
    spans = [(first, last)]
    if block:
        spans = [(first + low * block, min(first + high * block, last)) for low, high in found.steps]
        if any(low >= last for low, _ in spans):
            # A block beyond the rows is the shard's index, without which no reader finds any of its rows.
            spans = [(first, last)]
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    touched: set[int] = set()
    for low, high in merged:
        start = int(np.searchsorted(offsets, low, side="right")) - 1
        stop = int(np.searchsorted(offsets, high, side="left"))
        touched |= {s for s in range(start, stop) if offsets[s + 1] > offsets[s]}
    return dataclasses.replace(found, steps=tuple(merged), sequences=tuple(sorted(touched)))


def _rows(array: Path, total: int, size: int) -> tuple[int, int]:
    """Rows of a shard of an array, and of a block of `size` bytes; 0 where blocks hold no whole rows."""
    try:
        metadata = json.loads((array / "zarr.json").read_text(encoding="utf-8"))
        layout = ShardLayout.of(metadata)
        rows = int(metadata["chunk_grid"]["configuration"]["chunk_shape"][0])
        return rows, layout.chunk if layout is not None and layout.chunk_bytes == size else 0
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return total, 0


def _unfinished(target: Path, advance: Advance | None) -> Verification:
    """Check the shards of an unfinished recording that are marked done."""
    progress, partial = progress_of(target), partial_of(target)
    assert progress is not None
    listed = marked_files(target)
    checked = [_check(partial, name, expected, advance) for name, expected in listed.items()]
    found_bad = [found for found in checked if found is not None]
    damage = [_placed(partial, found, _offsets(partial, []), listed[found.path].block) for found in found_bad]
    size = sum(expected.size for expected in listed.values())
    return Verification(partial, len(listed), size, tuple(damage), (progress.done, progress.shards))


def _decoded(trace: Trace) -> Verification:
    """Read every array of a store that has no checksums."""
    damage: list[Damage] = []
    size = count = 0
    for path in sorted(trace.path.rglob("zarr.json")):
        name = path.parent.relative_to(trace.path).as_posix()
        if name.startswith((".", "projections", "analysis")) or name == ".":
            continue
        try:
            if json.loads(path.read_text(encoding="utf-8")).get("node_type") != "array":
                continue
            count += 1
            size += _decode(trace, name)
        except (OSError, ValueError, AttributeError, HiddenStateError) as error:
            damage.append(Damage(name, f"cannot be read ({str(error).splitlines()[0][:160]})"))
    found = (*damage, *_additions(trace.path))
    return Verification(trace.path, count, size, found, checksums=False)


def _decode(trace: Trace, name: str) -> int:
    array = trace.array(name)
    rows = max(1, 2**26 // max(1, array.dtype.itemsize * int(np.prod(array.shape[1:]))))
    return sum(np.asarray(array[at : at + rows]).nbytes for at in range(0, len(array), rows))


def _additions(store: Path) -> Iterator[Damage]:
    """Projections and analyses that cannot be read."""
    try:
        trace = Trace(store)
    except HiddenStateError:
        return  # said already
    for folder, names, read in (
        ("projections", trace.projections, lambda name: trace.projection(name).coordinates),
        ("analysis", trace._children("analysis"), lambda name: np.asarray(trace.analysis(name))),
    ):
        for name in names:
            try:
                read(name)
            except HiddenStateError as error:
                yield Damage(f"{folder}/{name}", f"cannot be read ({str(error).splitlines()[0][:160]})")
