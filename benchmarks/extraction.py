"""Recording hidden states beside PyTorch: in memory, with every quantity, and from end to end into a store."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.process import launch

__all__ = ["KINDS", "Plan", "run", "section"]

Task = dict[str, Any]

_EMBEDDING = 32
_WORDS = 20_000
_EVERYTHING = ("hidden", "cell", "input", "forget", "candidate", "output")
#: Steps that are run for a number of hidden units: some seconds of work each.
_STEPS = {20: 12_000_000, 100: 3_000_000, 256: 800_000, 1024: 80_000}
#: Bytes of rows that are kept in memory at a time: those of so many steps, within limits. (PyTorch's loop keeps 4 GB of
#: its longest batch of 1,024 units.)
_KEPT, _LEAST, _MOST = 2**17, 2**29, 2**31
#: Batch sizes that PyTorch is given; its best one counts.
_BATCHES = (64, 256)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Parameters
    ----------
    units : tuple of int
        Hidden units of the LSTM.
    steps : int or None
        Steps that are run; by default a number that takes some seconds.
    peers : bool
        Whether PyTorch runs beside.
    repeats, threads : int
        Runs of each, of which the median counts, and cores of each system.
    folder : Path
        Where the store is written, on the disk that is measured.
    """

    units: tuple[int, ...]
    steps: int | None
    peers: bool
    repeats: int
    threads: int
    folder: Path


def run(plan: Plan, out: Path | None = None) -> dict[str, Any]:
    """Measure; returns the figures and writes them to `out` as JSON.

    Raises
    ------
    InputError
        A plan that makes no sense.
    MissingExtraError
        PyTorch is not installed.
    """
    from hiddenstate_core.atomic import write_text

    _check(plan)
    rows = []
    lengths, source = review_lengths()
    with tempfile.TemporaryDirectory(prefix="hiddenstate-bench-") as folder:
        np.save(Path(folder) / "lengths.npy", lengths)
        for units in plan.units:
            for system in ("hiddenstate", "torch") if plan.peers else ("hiddenstate",):
                print(f"{system}, {units} units", file=sys.stderr, flush=True)
                task = {
                    "kind": f"extraction-{system}",
                    "lengths": str(Path(folder) / "lengths.npy"),
                    "units": units,
                    "steps": plan.steps or _STEPS.get(units, max(50_000, 100_000_000 // units // units)),
                    "repeats": plan.repeats,
                    "folder": str(plan.folder),
                }
                answer = launch(task, threads=plan.threads, numba_cache=Path(folder) / "numba").answer
                rows.append({"system": system, "units": units, **answer})
                told = _told(plan, source, rows)
                if out is not None:  # after every system, so that an interruption loses little
                    write_text(out, json.dumps(told, indent=1) + "\n")
    return told


def _told(plan: Plan, source: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": 1,
        "benchmark": "extraction",
        "lengths": source,
        "threads": plan.threads,
        "rows": rows,
        "machine": {**machine.describe(), "load": machine.load()},
        "torch": machine.version("torch"),
        "jax": machine.version("jax"),
    }


def review_lengths() -> tuple[NDArray[np.int64], str]:
    """Words of each labelled film review of IMDB in a random order, or lengths drawn as they are spread."""
    from hiddenstate_core.corpora.load import load_corpus
    from hiddenstate_core.errors import HiddenStateError

    rng = np.random.default_rng(0)
    try:
        corpus = load_corpus("imdb", vocabulary=_WORDS, progress=False)
    except HiddenStateError:
        drawn = np.exp(rng.normal(np.log(174), 0.65, 50_000))
        return np.clip(drawn, 4, 2500).astype(np.int64), "log-normal, as IMDB reviews are long"
    return rng.permutation(corpus.lengths[corpus.labels >= 0]), "IMDB, the 50,000 labelled reviews"


def section(told: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"{told['machine']['processor']}, {told['threads']} cores, load {told['machine']['load']:g}; "
        f"jax {told['jax']}, torch {told['torch']}. Lengths: {told['lengths']}. "
        "Millions of states a second; processor microseconds a state.",
        "",
        "| units | job | hiddenstate | torch | ratio | CPU us | torch CPU us | of peak | padding |",
        "| ---: | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    by = {(row["units"], row["system"]): row for row in told["rows"]}
    for units in dict.fromkeys(row["units"] for row in told["rows"]):
        ours, peer = by[units, "hiddenstate"], by.get((units, "torch"))
        for job, title in (("hidden", "hidden, in memory"), ("everything", "hidden, cell, gates, probabilities")):
            mine = ours[job]
            theirs = peer[job] if peer else None
            share = mine["flops"] / mine["seconds"] / ours["peak_flops"]
            lines.append(
                f"| {units} | {title} | {_rate(mine)} | {_rate(theirs) if theirs else ''} "
                f"| {theirs['seconds'] / theirs['steps'] * mine['steps'] / mine['seconds']:.2f} "
                f"| {_cpu(mine)} | {_cpu(theirs)} | {share:.0%} | {mine['padding']:.1%} |"
                if theirs
                else f"| {units} | {title} | {_rate(mine)} | | | {_cpu(mine)} | | {share:.0%} | {mine['padding']:.1%} |"
            )
    lines += [
        "",
        "| units | in memory s | raw write s | end to end s | share of the slower | in memory, ready s | share then "
        "| CPU s of the four | GB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | :--- | ---: |",
    ]
    for (units, system), row in by.items():
        if system == "hiddenstate":
            memory, raw, store, ready = (row[name] for name in ("memory", "raw", "store", "ready"))
            slower, best = (max(one["seconds"], raw["seconds"]) for one in (memory, ready))
            lines.append(
                f"| {units} | {memory['seconds']:.2f} | {raw['seconds']:.2f} | {store['seconds']:.2f} "
                f"| {slower / store['seconds']:.0%} | {ready['seconds']:.2f} | {best / store['seconds']:.0%} "
                f"| {', '.join(format(one['cpu'], '.2f') for one in (memory, raw, store, ready))} "
                f"| {row['bytes'] / 1e9:.2f} |"
            )
    return "\n".join(lines)


def _rate(row: dict[str, Any]) -> str:
    return f"{row['steps'] / row['seconds'] / 1e6:.3f}"


def _cpu(row: dict[str, Any]) -> str:
    return f"{1e6 * row['cpu'] / row['steps']:.2f}"


def _check(plan: Plan) -> None:
    from hiddenstate_core.errors import InputError, MissingExtraError

    if min(plan.units) < 1 or (plan.steps is not None and plan.steps < 1000) or plan.repeats < 1:
        raise InputError("--units and --repeats must be at least 1, and --steps at least 1,000.")
    if not 1 <= plan.threads <= machine.cores():
        raise InputError(f"--threads must lie in 1..{machine.cores()}, the cores there are, not {plan.threads}.")
    if plan.peers and machine.version("torch") is None:
        raise MissingExtraError("torch is not installed; install PyTorch, or pass --no-peers.")
    if not plan.folder.is_dir():
        raise InputError(f"--folder must be a folder, not {plan.folder}.")


# --- in a process of its own ---


def _timed(
    jobs: dict[str, Callable[[], Any]], repeats: int, before: Callable[[], Any] | None = None
) -> dict[str, dict[str, float]]:
    """Median wall and processor seconds of each job, in turn, after a run of each that is not counted; `before` each is
    not counted either."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            if before is not None:
                before()
            began, cpu = time.perf_counter(), time.process_time()
            job()
            if turn:
                found[name].append((time.perf_counter() - began, time.process_time() - cpu))
    return {
        name: {"seconds": statistics.median(s for s, _ in runs), "cpu": statistics.median(c for _, c in runs)}
        for name, runs in found.items()
    }


def _lengths(task: Task) -> NDArray[np.int64]:
    lengths = np.load(task["lengths"])
    return lengths[: max(1, int(np.searchsorted(np.cumsum(lengths), task["steps"])))]


def _peak_flops() -> float:
    """Operations a second of a large float32 product on all threads, NumPy's or XLA's, the best of some runs."""
    import jax

    a = np.random.default_rng(0).normal(size=(2048, 2048)).astype(np.float32)
    product = jax.jit(lambda a: a @ a)
    best = float("inf")
    for multiply in (lambda: a @ a, lambda: product(a).block_until_ready()):
        for _ in range(6):
            began = time.perf_counter()
            multiply()
            best = min(best, time.perf_counter() - began)
    return 2 * 2048.0**3 / best


def _hiddenstate(task: Task) -> dict[str, Any]:
    from hiddenstate_core.models import Model, ModelSpec
    from hiddenstate_core.models.network import parameter_shapes
    from hiddenstate_core.traces import ExtractOptions, Record, extract, record_states
    from hiddenstate_core.traces.engine import Engine
    from hiddenstate_core.traces.plan import make_plan
    from hiddenstate_core.traces.record import as_record
    from hiddenstate_core.traces.stages import stages

    corpus, units = _corpus(_lengths(task)), int(task["units"])
    rng = np.random.default_rng(0)
    spec = ModelSpec(hidden=(units,), embedding=_EMBEDDING)
    shapes = parameter_shapes(spec, _WORDS, 2)
    params: Any = {n: (rng.normal(size=s) / np.sqrt(s[0])).astype(np.float32) for n, s in shapes.items()}
    model = Model(spec, corpus.vocabulary, corpus.classes, params)
    answer: dict[str, Any] = {"peak_flops": _peak_flops()}
    steps = len(corpus.tokens)
    for name, record in (("hidden", Record(probabilities=False)), ("everything", as_record(_EVERYTHING, "lstm"))):
        plan = make_plan(model, corpus, record)
        engine = Engine(plan, model.params)
        looked_up = stages(plan)[0].source == "table"  # the inputs' products are no longer run with every step
        flops = 2.0 * ((0 if looked_up else _EMBEDDING) + units) * 4 * units * steps
        kept = max(_LEAST, min(_MOST, _KEPT * plan.row_bytes))
        portions = plan.portions(max(1, kept // (plan.shard * plan.row_bytes)))
        rows = engine.rows(portions[0])

        def work(engine: Engine = engine, portions: Any = portions, rows: Any = rows) -> None:
            for portion in portions:
                engine.run(portion, engine.rows(portion, rows))

        timed = _timed({name: work}, task["repeats"])[name]
        padding = 1 - engine.steps_run / engine.steps_padded
        answer[name] = timed | {"steps": steps, "flops": flops, "padding": padding}
        if name == "hidden":
            in_memory = work
    record = Record(probabilities=False)
    folder = Path(tempfile.mkdtemp(prefix="extraction-", dir=task["folder"]))
    try:
        store, size = folder / "t.zarr", steps * units * 4

        def record_store() -> None:
            extract(model, corpus, store, record=record, options=ExtractOptions(progress=False))

        def clear() -> None:
            for path in (store, folder / "raw"):
                shutil.rmtree(path, ignore_errors=True)
            os.sync()  # what the job before left to be written is not this one's
            _touch(size + 2**28)

        shard = make_plan(model, corpus, record).shard * units * 4
        jobs: dict[str, Callable[[], Any]] = {
            "ready": in_memory,
            "memory": lambda: record_states(model, corpus, record=record),
            "raw": lambda: _write_raw(folder / "raw", size, shard),
            "store": record_store,
        }
        answer |= _timed(jobs, task["repeats"], clear)
    finally:
        shutil.rmtree(folder)
    return answer | {"bytes": size}


def _corpus(lengths: NDArray[np.int64]) -> Any:
    from hiddenstate_core.corpora.corpus import Corpus, Vocabulary

    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = rng.integers(0, _WORDS, offsets[-1]).astype(np.int32)
    vocabulary = Vocabulary(("<unk>", *(f"w{i}" for i in range(1, _WORDS))))
    count = len(lengths)
    return Corpus(
        name="random words",
        tokens=tokens,
        surface=tokens,
        offsets=offsets,
        labels=np.zeros(count, np.int32),
        classes=("a", "b"),
        vocabulary=vocabulary,
        lexicon=vocabulary.words,
        split=np.zeros(count, np.int8),
        splits=("test",),
        ids=tuple(map(str, range(count))),
    )


def _touch(size: int) -> None:
    """Use memory and give it back, so that whichever job needs some next gets it equally fast.

    A virtual machine may hand pages that are free for seconds back to its host; using 600 MB of them again was seen to
    take 0.2 to 1.3 s instead of 0.03.
    """
    np.empty(size, np.uint8)[::4096] = 1


def _write_raw(folder: Path, size: int, shard: int) -> None:
    """Write as many bytes one after another into files as large as a store's shards, each synced.

    Past the system's page cache where the disk allows it, which is the faster way.
    """
    from hiddenstate_core.traces.shardfile import aligned_empty

    folder.mkdir()
    whole = -(-shard // 4096) * 4096
    data = aligned_empty((whole,), np.uint8)
    data[:] = np.random.default_rng(0).integers(0, 255, whole, np.uint8)
    for number, at in enumerate(range(0, size, shard)):
        part = data[: -(-min(shard, size - at) // 4096) * 4096].data
        try:
            file = os.open(folder / str(number), os.O_WRONLY | os.O_CREAT | getattr(os, "O_DIRECT", 0))
        except OSError:  # a file system without
            file = os.open(folder / str(number), os.O_WRONLY | os.O_CREAT)
        try:
            while len(part):
                part = part[os.write(file, part) :]
            os.fsync(file)
        finally:
            os.close(file)


def _torch(task: Task) -> dict[str, Any]:
    import torch

    torch.set_num_threads(int(task["threads"]))
    lengths, units = np.sort(_lengths(task)), int(task["units"])
    torch.manual_seed(0)
    embedding, cell = torch.nn.Embedding(_WORDS, _EMBEDDING), torch.nn.LSTMCell(_EMBEDDING, units)
    network, readout = torch.nn.LSTM(_EMBEDDING, units), torch.nn.Linear(units, 2)

    def hidden(size: int) -> None:
        for tokens in _padded(lengths, size):
            network(embedding(torch.from_numpy(tokens)))

    def everything(size: int) -> None:
        for tokens in _padded(lengths, size):
            rows = embedding(torch.from_numpy(tokens))
            h = c = torch.zeros(size, units)
            kept: tuple[list[Any], ...] = ([], [], [])
            for x in rows:
                z = torch.nn.functional.linear(x, cell.weight_ih, cell.bias_ih)
                z = z + torch.nn.functional.linear(h, cell.weight_hh, cell.bias_hh)
                i, f, g, o = z.chunk(4, 1)
                i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
                c = f * c + i * g
                h = o * c.tanh()
                for place, value in zip(kept, (h, c, torch.cat((i, f, g, o), 1)), strict=True):
                    place.append(value)
            states, _, _ = (torch.stack(values) for values in kept)
            torch.softmax(readout(states), -1)

    answer: dict[str, Any] = {}
    with torch.inference_mode():
        for name, job in (("hidden", hidden), ("everything", everything)):
            # A batch of a good part of all sequences would be mostly padding.
            sizes = [size for size in _BATCHES if size <= len(lengths) // 4] or [_BATCHES[0]]
            timed = _timed({str(size): functools.partial(job, size) for size in sizes}, task["repeats"])
            best = min(timed, key=lambda size: timed[size]["seconds"])
            answer[name] = timed[best] | {"steps": int(lengths.sum()), "batch": int(best)}
    return answer


def _padded(lengths: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Words of sequences side by side, longest with longest, (T, B): the least padding that sorting gives."""
    rng = np.random.default_rng(0)
    for at in range(0, len(lengths), size):
        yield rng.integers(0, _WORDS, (int(lengths[at : at + size].max()), size))


KINDS: dict[str, Callable[[Task], dict[str, Any]]] = {
    "extraction-hiddenstate": _hiddenstate,
    "extraction-torch": _torch,
}
