"""`extract`: runs a model over a corpus and streams every state it passes through to a trace store."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import InputError, StoreError, require_kind
from hiddenstate_core.models.model import Model
from hiddenstate_core.models.network import Params
from hiddenstate_core.progress import Advance, progress_bar
from hiddenstate_core.traces.engine import Engine, Rows
from hiddenstate_core.traces.plan import Plan, Portion, make_plan
from hiddenstate_core.traces.record import Record, as_record
from hiddenstate_core.traces.target import check_target, locked
from hiddenstate_core.traces.trace import Trace
from hiddenstate_core.traces.writer import Writer

__all__ = ["ExtractOptions", "Recorder", "States", "extract", "extract_by", "record_missing", "record_states"]

#: Bytes up to which the rows of three portions are in memory at once, rather than of two.
_ROOM = 128 * 2**20

#: Sees to it that portions are recorded: (writer, model, their numbers, told of steps as they are done).
Recorder = Callable[[Writer, Model, Sequence[int], Advance], object]


@dataclasses.dataclass(frozen=True)
class ExtractOptions:
    """How a corpus is recorded; does not change what is recorded beyond float32 rounding.

    Parameters
    ----------
    memory : int or None
        Bytes for rows on their way to the disk: half of it is filled while the other half is written. None for what
        suits the network: some 130 MiB for 100 hidden units, at most 1 GiB for any.
    threads : int or None
        Threads on a CPU; None for one a core. The result does not depend on it.
    compression : {"none", "zstd"}
        Of the arrays of states. Float32 states shrink by 8 % with Zstandard, at more than the cost of computing them.
    overwrite : bool
        Whether another recording at the path, finished or not, is replaced.
    progress : bool
        Whether a progress bar is shown.

    Raises
    ------
    InputError
        A value outside its range.
    """

    memory: int | None = None
    threads: int | None = None
    compression: Literal["none", "zstd"] = "none"
    overwrite: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.memory is not None and not _is_count(self.memory):
            raise InputError(
                f"ExtractOptions.memory must be None or a number of bytes, at least one, not {self.memory!r}."
            )
        if self.threads is not None and not _is_count(self.threads):
            raise InputError(
                f"ExtractOptions.threads must be at least 1, or None for one a core, not {self.threads!r}."
            )
        if self.compression not in ("none", "zstd"):
            raise InputError(f"ExtractOptions.compression must be 'none' or 'zstd', not {self.compression!r}.")

    def joined(self, *, overwrite: bool, progress: bool) -> ExtractOptions:
        """These with the two arguments that `extract` takes beside them: either may overwrite, either be silent."""
        return dataclasses.replace(self, overwrite=self.overwrite or overwrite, progress=self.progress and progress)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def extract(
    model: Model,
    corpus: Corpus,
    path: str | os.PathLike[str],
    *,
    record: Record | Sequence[str] | str | None = None,
    options: ExtractOptions | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Trace:
    """Run `model` over `corpus` and store every state at every step.

    Sequences lie in the store in the corpus' order. The recording is made in portions of whole shards: a portion's
    sequences are packed end to end into the columns of batches, so that next to nothing that is run is padding, and
    one portion is written while the next is computed. Memory is bounded by ``options.memory``, whatever the corpus'
    size. A portion depends on the model, the corpus and its number only, so a run that was killed is finished by
    calling this again, with the same bytes as an uninterrupted one.

    Parameters
    ----------
    model : Model
        The network; the corpus is encoded with its vocabulary and cut to its ``max_length``.
    corpus : Corpus
        What is read. A classifier's classes must be its own.
    path : path-like
        Where the store is made (a folder); it appears there when it is whole.
    record : Record or sequence of str, optional
        What is kept; names are ``"hidden"``, ``"cell"``, ``"gates"``, or single gates. Everything by default.
    options : ExtractOptions, optional
        Memory, threads, compression, and what the two below say too.
    overwrite : bool
        Whether another recording at `path` is replaced. The same recording is not made twice, unless `overwrite` is
        given and it is damaged (see `verify`).
    progress : bool
        Whether a progress bar is shown.

    Returns
    -------
    Trace

    Raises
    ------
    InputError
        A quantity that cannot be recorded, or something at `path` that is not a trace store.
    CorpusError
        A corpus without steps, or with other classes or inputs than the model's.
    StoreError
        Another recording at `path`, another process recording into it, a folder that cannot be written, a full disk,
        or a state that is not finite (named by sequence and step).
    """
    options = ExtractOptions() if options is None else options
    require_kind(options, ExtractOptions, "The options")
    options = options.joined(overwrite=overwrite, progress=progress)

    def here(writer: Writer, model: Model, portions: Sequence[int], advance: Advance) -> None:
        record_missing(writer, model.params, portions, memory=options.memory, threads=options.threads, advance=advance)

    return extract_by(here, model, corpus, path, record=record, options=options)


def extract_by(
    recorder: Recorder,
    model: Model,
    corpus: Corpus,
    path: str | os.PathLike[str],
    *,
    record: Record | Sequence[str] | str | None = None,
    options: ExtractOptions,
) -> Trace:
    """As `extract`, with the portions that are missing recorded by `recorder`, here or elsewhere."""
    require_kind(model, Model, "The model")
    plan = make_plan(model, corpus, as_record(record, model.spec.cell), compressed=options.compression != "none")
    target = Path(path)
    memory = None if options.memory is None else options.memory // 2
    with locked(target):
        if not check_target(target, plan.attributes["fingerprint"], overwrite=options.overwrite):
            try:
                writer = Writer(plan, target, memory=memory, overwrite=options.overwrite)
                missing = writer.missing()
                with progress_bar("Recording states", _steps(writer, missing), show=options.progress) as advance:
                    recorder(writer, model, missing, advance)
                writer.finish()
            except OSError as error:
                if isinstance(error, StoreError):
                    raise
                raise StoreError(
                    f"Recording into {target} stopped: {error.strerror or error}. "
                    "What was recorded so far is kept; run the same command again to finish."
                ) from error
    return Trace(target)


def record_missing(
    writer: Writer,
    params: Params,
    portions: Sequence[int],
    *,
    memory: int | None = None,
    threads: int | None = None,
    advance: Advance | None = None,
) -> Engine:
    """Compute portions while others are written; returns the engine, which has counted its steps."""
    engine = Engine(writer.plan, params, threads=threads)
    # One that is computed and two on their way to the disk, where there is room for so many; at least one of each.
    count = 3 if 3 * writer.portion_bytes <= (memory or _ROOM) else 2
    free: SimpleQueue[Rows] = SimpleQueue()
    held: dict[int, Rows] = {}
    with ThreadPoolExecutor(2, thread_name_prefix="trace-writer") as pool:
        # It says nothing that the states depend on, so it is written beside the first of them.
        tasks: list[Future[None]] = [pool.submit(writer.write_corpus)]

        def check() -> None:
            """Drop what is written; raise what went wrong there."""
            for task in [one for one in tasks if one.done()]:
                task.result()
                tasks.remove(task)

        def begun() -> Iterator[tuple[Portion, Rows]]:
            made = 0
            for number in portions:
                if made < count and free.empty():
                    made += 1
                    free.put(engine.rows(writer.portion(0)))  # as large as any
                room = free.get()
                check()
                portion = writer.portion(number)
                held[number] = room
                yield portion, engine.rows(portion, room)

        def write(portion: Portion, rows: Rows, final: NDArray[np.float32]) -> None:
            try:
                writer.write(portion, rows, final)
            finally:
                free.put(held.pop(portion.number))  # whoever waits for it looks whether all is well

        def filled(portion: Portion, rows: Rows, final: NDArray[np.float32]) -> None:
            tasks.append(pool.submit(write, portion, rows, final))

        engine.run_each(begun(), filled, advance, overlap=2)
        for task in tasks:
            task.result()
    return engine


@dataclasses.dataclass(frozen=True, eq=False)
class States:
    """What a network passes through while it reads, in memory.

    Parameters
    ----------
    arrays : dict of (N, W) arrays
        Rows of every recorded array by its path in a store: ``layers/0/forward/hidden``, ``steps/probabilities``...
    offsets : (S + 1,) int64
        Where each sequence begins and ends among the rows.
    final : (S, C) float32
        Class probabilities after the whole of each sequence was read; (S, 0) for a language model.
    """

    arrays: dict[str, NDArray[Any]]
    offsets: NDArray[np.int64]
    final: NDArray[np.float32]

    def sequence(self, index: int) -> dict[str, NDArray[Any]]:
        """Rows of one sequence, views by path."""
        count = len(self.offsets) - 1
        if not -count <= index < count:
            raise InputError(f"Sequence {index} does not exist; there are {count}, 0..{count - 1}.")
        start, stop = self.offsets[index % count], self.offsets[index % count + 1]
        return {path: array[start:stop] for path, array in self.arrays.items()}


def record_states(
    model: Model,
    corpus: Corpus,
    *,
    record: Record | Sequence[str] | str | None = None,
    threads: int | None = None,
) -> States:
    """Run `model` over `corpus` and keep every state in memory; `extract` without a store.

    Parameters
    ----------
    model, corpus, record
        As for `extract`. A bfloat16 record holds bit patterns, uint16.
    threads : int, optional
        Threads on a CPU; one a core by default.

    Returns
    -------
    States
        O(N W) memory.

    Raises
    ------
    InputError, CorpusError, StoreError
        As `extract` does.
    """
    require_kind(model, Model, "The model")
    plan = make_plan(model, corpus, as_record(record, model.spec.cell))
    engine = Engine(plan, model.params, threads=threads)
    portion = _everything(plan)
    rows = engine.rows(portion)
    final = engine.run(portion, rows)
    initial = np.asarray(plan.attributes["initial_probabilities"], np.float32)
    every = np.tile(initial, (len(plan.corpus), 1))
    every[portion.sequences] = final
    return States(rows, plan.offsets, every)


def _everything(plan: Plan) -> Portion:
    return plan.portion(0, plan.shards)


def _steps(writer: Writer, portions: Sequence[int]) -> int:
    """Steps that will be run for some portions, sequences across borders once for each."""
    lengths = writer.plan.corpus.lengths
    return int(sum(lengths[writer.portion(number).sequences].sum() for number in portions))
