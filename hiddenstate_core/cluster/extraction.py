"""`extract` on a cluster: every worker computes whole portions of a trace store and writes them itself."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hiddenstate_core.cluster.client import Held, checked, here, library, run_tasks, worker_threads
from hiddenstate_core.cluster.job import begin_job, close_job, end_job, is_open, read_job
from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import HiddenStateError, StoreError
from hiddenstate_core.models.model import Model
from hiddenstate_core.progress import Advance
from hiddenstate_core.traces.engine import Engine, Rows
from hiddenstate_core.traces.extract import ExtractOptions, extract_by
from hiddenstate_core.traces.extract import extract as extract_here
from hiddenstate_core.traces.record import Record
from hiddenstate_core.traces.trace import Trace
from hiddenstate_core.traces.writer import Writer, progress_of

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["extract"]

#: Seconds until a file that one machine wrote must be seen by another: a network file system may remember for a minute
#: that it was not there.
_SHARED = 90.0
#: One portion at a time is computed in a process, with all its threads, and one written.
_computing, _writing, _opening = threading.Lock(), threading.Lock(), threading.Lock()


def extract(
    model: Model,
    corpus: Corpus,
    path: str | os.PathLike[str],
    *,
    record: Record | Sequence[str] | str | None = None,
    options: ExtractOptions | None = None,
    overwrite: bool = False,
    progress: bool = True,
    client: Client | None = None,
) -> Trace:
    """Run `model` over `corpus` and store every state at every step, in this process or on a cluster.

    Sequences lie in the store in the corpus' order. The recording is made in portions of whole shards: a portion's
    sequences are packed end to end into the columns of batches, so that next to nothing that is run is padding, and
    one portion is written while the next is computed. Memory is bounded by ``options.memory``, whatever the corpus'
    size. A portion depends on the model, the corpus and its number only, so a run that was killed is finished by
    calling this again, with the same bytes as an uninterrupted one, here or on a cluster.

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
        Memory (of every worker process), threads (a worker's own number by default), compression, and what the two
        below say too.
    overwrite : bool
        Whether another recording at `path` is replaced. The same recording is never made twice.
    progress : bool
        Whether a progress bar is shown.
    client : distributed.Client, optional
        Of a Dask cluster whose workers compute portions and write them to `path` themselves, which must lie on a file
        system that all of them see under the same path. Without one, everything is done here.

    Returns
    -------
    Trace
        The same bytes wherever it was recorded, on the same kind of processor with the same versions.

    Raises
    ------
    InputError
        A quantity that cannot be recorded, something at `path` that is not a trace store, or no client.
    CorpusError
        A corpus without steps, or with other classes or inputs than the model's.
    StoreError
        Another recording at `path`, another process recording into it, a folder that cannot be written or that a
        worker does not see, a full disk, or a state that is not finite (named by sequence and step).
    ClusterError
        No workers, workers that die again and again, or a scheduler that is lost. What was recorded is kept.
    """
    options = (options or ExtractOptions()).joined(overwrite=overwrite, progress=progress)
    if client is None:
        return extract_here(model, corpus, path, record=record, options=options)
    reached = checked(client)

    def on_workers(writer: Writer, model: Model, portions: Sequence[int], advance: Advance) -> None:
        _record_missing(reached, writer, model, portions, options.threads, advance)

    return extract_by(on_workers, model, corpus, path, record=record, options=options)


def _record_missing(
    client: Client, writer: Writer, model: Model, portions: Sequence[int], threads: int | None, advance: Advance
) -> None:
    """Have workers record portions; returns when all of them are seen here."""
    if not portions:
        return
    folder = begin_job(writer, model)
    lengths = writer.plan.corpus.lengths

    def arrived(place: int, result: None) -> None:
        advance(float(lengths[writer.portion(portions[place]).sequences].sum()))

    try:
        job = _Job(folder, writer.target.absolute(), threads)
        run_tasks(client, _record_portion, job, portions, arrived, stop=lambda: close_job(folder))
    finally:
        end_job(folder)
    until = time.monotonic() + _SHARED
    while missing := writer.missing():
        if time.monotonic() > until:
            raise StoreError(
                f"Workers have recorded portion {missing[0]} of {writer.partial}, but it is not seen here; the store "
                "must lie on a file system that the client and every worker share, under the same path."
            )
        time.sleep(0.5)


class _Job(Held):
    """A recording that a worker takes part in; opened by the first portion that it is asked for."""

    def __init__(self, folder: Path, target: Path, threads: int | None) -> None:
        self.folder, self.target, self.threads = folder, target, threads
        self.made_recording: _Recording | None = None

    def recording(self) -> _Recording:
        with _opening:
            found = self.__dict__.get("made_recording")
            if found is None:
                found = self.made_recording = _Recording(self)
            return found


class _Recording:
    """A worker's part in a recording: the writer, the engine, and memory for two portions."""

    def __init__(self, job: _Job) -> None:
        plan, model = read_job(job.folder, here())
        begun = progress_of(job.target)
        if begun is None or (begun.fingerprint, begun.shards) != (plan.attributes["fingerprint"], plan.shards):
            raise StoreError(f"The {here()} does not see the recording begun at {job.target}; run the same again.")
        self.writer = Writer(plan, job.target, memory=1)  # portions stay what they were when it was begun
        self.engine = Engine(plan, model.params, threads=job.threads or worker_threads())
        self.free: queue.SimpleQueue[Rows | None] = queue.SimpleQueue()
        for _ in range(2):
            self.free.put(None)

    def record(self, number: int, folder: Path) -> None:
        """Compute a portion and write it; another one is computed meanwhile."""
        portion = self.writer.portion(number)
        buffer = self.free.get()
        try:
            with _computing:
                if not is_open(folder):
                    return
                if buffer is None:
                    buffer = self.engine.rows(self.writer.portion(0))  # as large as any
                rows = self.engine.rows(portion, buffer)
                final = self.engine.run(portion, rows)
            library().secede()  # the worker's thread is free for the next portion
            with _writing:
                # Once the folder is gone, nobody holds the right to this store for us any more.
                if folder.is_dir():
                    self.writer.write(portion, rows, final)
        finally:
            self.free.put(buffer)


def _record_portion(job: _Job, number: int) -> None:
    """On a worker: one portion."""
    try:
        job.recording().record(number, job.folder)
    except HiddenStateError:
        raise
    except OSError as error:
        raise StoreError(
            f"Recording into {job.target} stopped: {error.strerror or error} (on {here()}). "
            "What was recorded so far is kept; run the same again to finish."
        ) from error
