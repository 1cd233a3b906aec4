"""`Engine`: runs a network over portions of a corpus and lays every recorded row where it belongs."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from hiddenstate_core.errors import StoreError
from hiddenstate_core.kernels.scatter import scatter_rows
from hiddenstate_core.models.cells import CELLS
from hiddenstate_core.models.network import Params
from hiddenstate_core.traces.lanes import share_out
from hiddenstate_core.traces.packing import Group, pack
from hiddenstate_core.traces.plan import Plan, Portion
from hiddenstate_core.traces.shardfile import aligned_empty
from hiddenstate_core.traces.stages import (
    PROBABILITIES,
    Layout,
    Stage,
    compiled_next_words,
    compiled_stage,
    has_wide_kernels,
    needed_params,
    stages,
)

__all__ = ["Engine", "Rows"]

#: Rows of a portion by path of the array, in the array's stored type; 2-D.
Rows = dict[str, NDArray[Any]]
#: Told of steps that were run.
Advance = Callable[[float], None]
#: Given a portion that is run, its rows, and (R, C) float32 of what it says of each of its sequences in the end.
Done = Callable[[Portion, Rows, NDArray[np.float32]], object]

#: Bytes that a block of steps of a group takes in a lane, about what stays in the cores' caches (at 20 units everything
#: is recorded 16 % faster than with twice as many), and up to how many it may take for 16 steps.
_BLOCK, _LARGEST_BLOCK = 6 * 2**20, 16 * 2**20
#: Numbers in a block of a language model's readout.
_READOUT = 2**23
_EXPONENT = {"float32": np.uint32(0x7F800000), "float16": np.uint16(0x7C00), "bfloat16": np.uint16(0x7F80)}


@dataclasses.dataclass(eq=False)
class _Task:
    """A portion being run, a job of `share_out`: where its sequences lie, and what is filled."""

    engine: Engine
    portion: Portion
    first: NDArray[np.int64]
    lengths: NDArray[np.int64]
    base: int
    rows: Rows
    finals: NDArray[np.float32]
    below: list[NDArray[np.float32]]
    done: Done
    advance: Advance | None
    finite: bool = True
    number: int = -1

    def stage(self) -> list[Group] | None:
        """Groups of columns of the next stage of the network."""
        self.number += 1
        if self.number == len(self.engine._stages):
            self.done(self.portion, self.rows, self.engine._finish(self))
            return None
        return self.engine._pack(self)

    def work(self, group: Group, lane: int) -> None:
        """Run a group of columns."""
        self.engine._run_group(self, group, lane)
        if self.advance is not None:
            self.advance(float(self.lengths[group.sequences].sum()) / len(self.engine._stages))


@dataclasses.dataclass(frozen=True, eq=False)
class _Places:
    """What runs at each place of a group of columns, (T, B) int64 each, -1 for nothing.

    Parameters
    ----------
    steps : array
        Step of the corpus.
    rows : array
        Row of the portion that it fills.
    ends : array
        Sequence of the portion whose last step it is.
    """

    steps: NDArray[np.int64]
    rows: NDArray[np.int64]
    ends: NDArray[np.int64]


class Engine:
    """Runs a network over a corpus.

    The sequences of a portion are packed end to end into groups of columns (see `pack`); a group advances by a block
    of steps at a time with one compiled program, whose outputs are scattered to the portion's rows. On a CPU every
    thread runs groups of its own, on one of the host's devices; on accelerators each group's columns are shared out
    to all of them.

    Parameters
    ----------
    plan : Plan
        What is recorded.
    params : dict of float32 arrays
        The network's parameters.
    threads : int or None
        Threads on a CPU; None for one a core. The result does not depend on it.
    sharded : bool or None
        Whether the columns of a group are shared out to all devices; None for only where they are accelerators.
    """

    def __init__(self, plan: Plan, params: Params, *, threads: int | None = None, sharded: bool | None = None) -> None:
        self.plan = plan
        #: Steps of sequences that were run, and steps run in all; the difference is padding.
        self.steps_run = 0
        self.steps_padded = 0
        self._stages = stages(plan)
        self._lanes = _lanes(threads, sharded)
        # Lanes that lie on the same devices read the same arrays.
        layouts = {lane: [needed_params(params, plan.spec, s, lane) for s in self._stages] for lane in set(self._lanes)}
        self._params = [layouts[lane] for lane in self._lanes]
        self._readout = {name: params[name] for name in ("readout.kernel", "readout.bias")}
        self._lock = threading.Lock()

    def rows(self, portion: Portion, into: Rows | None = None) -> Rows:
        """Arrays for a portion's rows; views of `into` where that has room, so that memory is used again."""
        count = portion.stop - portion.start
        if into is None:
            return {a.path: aligned_empty((count, a.width or 1), a.stored) for a in self.plan.arrays}
        return {path: array[:count] for path, array in into.items()}

    def run(self, portion: Portion, rows: Rows, advance: Advance | None = None) -> NDArray[np.float32]:
        """Fill the rows of a portion; as `run_each`, of one.

        Returns
        -------
        (R, C) float32
            Class probabilities after the whole of each of the portion's sequences was read; (R, 0) for a language
            model.
        """
        found: list[NDArray[np.float32]] = []
        self.run_each([(portion, rows)], lambda _portion, _rows, final: found.append(final), advance)
        return found[0]

    def run_each(
        self,
        portions: Iterable[tuple[Portion, Rows]],
        done: Done,
        advance: Advance | None = None,
        *,
        overlap: int = 1,
    ) -> None:
        """Fill the rows of portions one after another.

        Parameters
        ----------
        portions : iterable of (Portion, dict of arrays)
            Which, each with memory from `rows`, of which every row is written. Asked for the next by any of the
            engine's threads, when it can be begun; may block until there is memory.
        done : callable
            Given a portion, its rows and what `run` returns when these are filled, by any thread.
        advance : callable, optional
            Told how many steps were run, from time to time, by any thread.
        overlap : int
            Most portions that are run at once: with two, a thread that finds nothing left of one begins the next.

        Raises
        ------
        StoreError
            A value that is not finite, by array, sequence and step.
        """
        tasks = (self._task(portion, rows, done, advance) for portion, rows in portions)
        share_out(tasks, len(self._lanes), overlap=overlap)

    # -- stages -----------------------------------------------------------------------------------------------------

    def _task(self, portion: Portion, rows: Rows, done: Done, advance: Advance | None) -> _Task:
        corpus, spec = self.plan.corpus, self.plan.spec
        first, lengths = corpus.offsets[portion.sequences], corpus.lengths[portion.sequences]
        base, end = int(first[0]), int(first[-1] + lengths[-1])
        width = spec.hidden[-1] * len(self.plan.directions)
        # Rows of the layers below and of the top are kept only where something reads them again.
        again = self.plan.reads_again
        below = (
            [np.empty((end - base, u * len(self.plan.directions)), np.float32) for u in spec.hidden] if again else []
        )
        finals = np.zeros((len(first), width), np.float32)
        return _Task(self, portion, first, lengths, base, rows, finals, below, done, advance)

    def _pack(self, task: _Task) -> list[Group]:
        """The groups that a stage of a portion is run in."""
        lane = self._lanes[0]
        widest = widest_columns(self.plan) * lane.devices
        wide = has_wide_kernels(self.plan.spec)
        groups = pack(
            task.lengths, widest, block_steps(self.plan, widest // lane.devices), max(8, lane.devices),
            at_once=1 if wide else 2, overhead=32 if wide else 8,
        )  # fmt: skip
        if task.number == 0:
            with self._lock:
                self.steps_run += int(task.lengths.sum())
                self.steps_padded += sum(g.length * g.columns for g in groups)
        return groups

    def _finish(self, task: _Task) -> NDArray[np.float32]:
        """What is left when all stages of a portion are run; what it says of each sequence in the end."""
        spec, portion, rows = self.plan.spec, task.portion, task.rows
        if spec.task == "classification":
            final = self._final_probabilities(task)
            if self.plan.reads_again and self.plan.record.probabilities:
                self._read_out(task)
            elif self.plan.record.probabilities and spec.direction == "forward":
                # What was said after the last step, to the last digit.
                last = self.plan.offsets[portion.sequences + 1] - 1 - portion.start
                inside = last < portion.stop - portion.start
                final[inside] = rows[PROBABILITIES][last[inside]]
        else:
            final = np.zeros((len(task.first), 0), np.float32)
            if self.plan.record.probabilities:
                self._read_out_words(task)
        if not task.finite or not np.isfinite(final).all():
            self._refuse(task)
        return final

    def _run_group(self, task: _Task, group: Group, lane: int) -> None:
        """Advance a group of columns from its first block to its last."""
        plan, stage = self.plan, self._stages[task.number]
        place, params = self._lanes[lane], self._params[lane][task.number]
        block = block_steps(plan, widest_columns(plan))
        first, lengths = task.first[group.sequences], task.lengths[group.sequences]
        steps = group.steps(first, lengths, backward=stage.direction == "backward")
        begins = np.zeros(steps.shape, np.bool_)
        begins[group.start, group.column] = True
        ends = np.full(steps.shape, -1, np.int64)
        ends[group.start + lengths - 1, group.column] = group.sequences
        places = _Places(steps, self._destinations(task, steps), ends)
        state = self._first_state(stage, group.columns)
        program = compiled_stage(plan.spec, stage, place)
        running: tuple[slice, dict[str, Any]] | None = None
        for at in range(0, group.length, block):
            here = slice(at, at + block)
            # NumPy's arrays go straight in: putting them on the device by name costs more than a short block's run.
            state, found = program(params, self._inputs(task, stage, steps[here]), begins[here], state)
            # It runs while the rows of the block before are laid down.
            if running is not None:
                self._keep(task, stage, places, *running)
            running = here, found
        if running is not None:
            self._keep(task, stage, places, *running)

    def _keep(self, task: _Task, stage: Stage, places: _Places, here: slice, found: dict[str, Any]) -> None:
        """Lay the rows of a block of steps where they belong."""
        outputs = {name: np.asarray(values) for name, values in found.items()}
        top = _flat(outputs.pop(stage.top) if stage.top not in task.rows else outputs[stage.top])
        for path, values in outputs.items():
            if not self._scatter(path, values, places.rows[here], task.rows[path]):
                task.finite = False
        side = self.plan.directions.index(stage.direction)
        columns = slice(side * top.shape[1], (side + 1) * top.shape[1])
        if stage.layers[-1] == len(self.plan.spec.hidden) - 1:
            done = places.ends[here].reshape(-1)
            last = np.flatnonzero(done >= 0)
            task.finals[done[last], columns] = top[last]
        if task.below:
            flat = places.steps[here].reshape(-1)
            real = np.flatnonzero(flat >= 0)
            task.below[stage.layers[-1]][flat[real] - task.base, columns] = top[real]

    def _inputs(self, task: _Task, stage: Stage, steps: NDArray[np.int64]) -> NDArray[Any]:
        corpus = self.plan.corpus
        if stage.source in ("tokens", "table"):
            return corpus.tokens[np.maximum(steps, 0)]
        if stage.source == "features":
            assert corpus.features is not None
            return corpus.features[np.maximum(steps, 0)]
        return task.below[stage.layers[0] - 1][np.maximum(steps - task.base, 0)]

    def _destinations(self, task: _Task, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the portion that each place's states go to, (T, B) int64, -1 for none."""
        rows = steps
        if self.plan.record.every > 1:
            rows, real = np.full(steps.shape, -1, np.int64), steps >= 0
            sequences = np.searchsorted(self.plan.corpus.offsets, steps[real], side="right") - 1
            rows[real] = self.plan.rows_of(steps[real], sequences)
        outside = (rows < task.portion.start) | (rows >= task.portion.stop)
        rows = rows - task.portion.start
        rows[outside] = -1
        return rows

    def _first_state(self, stage: Stage, columns: int) -> Any:
        states = len(CELLS[self.plan.spec.cell].states)
        return tuple(
            tuple(np.zeros((columns, self.plan.spec.hidden[layer]), np.float32) for _ in range(states))
            for layer in stage.layers
        )

    def _scatter(self, path: str, values: NDArray[Any], where: NDArray[np.int64], rows: NDArray[Any]) -> bool:
        kind = "float32" if path == PROBABILITIES else self.plan.record.dtype
        bits = np.uint32 if rows.itemsize == 4 else np.uint16
        return bool(scatter_rows(values.view(bits), where, rows.view(bits), _EXPONENT[kind]))

    # -- readouts ---------------------------------------------------------------------------------------------------

    def _final_probabilities(self, task: _Task) -> NDArray[np.float32]:
        return _probabilities(task.finals, self._readout)

    def _portion_steps(self, task: _Task) -> NDArray[np.int64]:
        """Step of the corpus that each row of the portion is, counted from the first that the task holds."""
        start, stop = task.portion.start, task.portion.stop
        kept = self.plan.kept
        return (np.arange(start, stop) if kept is None else kept[start:stop]) - task.base

    def _read_out(self, task: _Task) -> None:
        """Class probabilities of every row, of both directions' states side by side."""
        rows = self._portion_steps(task)
        for at in range(0, len(rows), 8192):
            hidden = task.below[-1][rows[at : at + 8192]]
            task.rows[PROBABILITIES][at : at + 8192] = _probabilities(hidden, self._readout)

    def _read_out_words(self, task: _Task) -> None:
        """A language model's likeliest next words at every row, and the probability of the word that came."""
        plan, corpus = self.plan, self.plan.corpus
        top = min(plan.record.top, plan.outputs)
        steps = self._portion_steps(task)
        sequence = np.searchsorted(corpus.offsets, steps + task.base, side="right") - 1
        last = steps + task.base == corpus.offsets[sequence + 1] - 1
        targets = corpus.tokens[np.minimum(steps + task.base + 1, len(corpus.tokens) - 1)]
        block = max(8, _READOUT // plan.outputs)
        params = jax.device_put(self._readout, self._lanes[0].everywhere)
        program = compiled_next_words(top, self._lanes[0])
        for at in range(0, len(steps), block):
            here = slice(at, at + block)
            count = len(steps[here])
            hidden = np.zeros((block, task.below[-1].shape[1]), np.float32)
            hidden[:count] = task.below[-1][steps[here]]
            came = np.zeros(block, np.int32)
            came[:count] = targets[here]
            found = program(params, hidden, came)
            likeliest, words, came_true = (np.asarray(values)[:count] for values in found)
            task.rows["steps/top_probabilities"][here] = likeliest
            task.rows["steps/top_tokens"][here] = words
            task.rows["steps/target_probability"][here, 0] = np.where(last[here], np.float32(np.nan), came_true)
            if not np.isfinite(likeliest).all():
                task.finite = False

    def _refuse(self, task: _Task) -> None:
        """Name the first value that is not finite."""
        corpus, steps = self.plan.corpus, self._portion_steps(task) + task.base
        kinds = {a.path: a.dtype for a in self.plan.arrays}
        for path, values in _floats(task.rows, kinds):
            bad = ~np.isfinite(values).all(axis=1)
            if path == "steps/target_probability" or not bad.any():
                continue
            step = int(steps[int(np.flatnonzero(bad)[0])])
            sequence = int(np.searchsorted(corpus.offsets, step, side="right")) - 1
            hint = "" if kinds[path] != "float16" else " in float16, whose largest number is 65,504; record float32"
            raise StoreError(
                f"{path} is not finite{hint}: step {step - int(corpus.offsets[sequence])} of sequence {sequence} "
                f"({corpus.ids[sequence]}). The model's weights or inputs are too large or damaged."
            )
        raise StoreError("A state is not finite; the model's weights or inputs are too large or damaged.")


def widest_columns(plan: Plan) -> int:
    """Most columns of a group on one device: few, so that a step stays in a core's cache, but where kernels are
    large enough that reading them at every step would cost more."""
    if jax.default_backend() != "cpu":
        return 1024
    if has_wide_kernels(plan.spec):
        return 512
    return 64 if 40 < max(plan.spec.hidden) <= 160 else 128


def block_steps(plan: Plan, columns: int) -> int:
    """Steps that a program advances a group by."""
    step = columns * (4 * CELLS[plan.spec.cell].blocks * max(plan.spec.hidden) + plan.row_bytes)
    fits = max(_BLOCK // step, min(16, _LARGEST_BLOCK // step))
    return int(min(128, max(4, 1 << max(0, fits.bit_length() - 1))))


def _lanes(threads: int | None, sharded: bool | None) -> list[Layout]:
    devices = jax.local_devices()
    accelerated = devices[0].platform != "cpu"
    if sharded or (sharded is None and accelerated):
        mesh = Mesh(np.array(devices), ("columns",))
        spread = NamedSharding(mesh, PartitionSpec(None, "columns"))
        rows, everywhere = NamedSharding(mesh, PartitionSpec("columns")), NamedSharding(mesh, PartitionSpec())
        return [Layout(spread, rows, everywhere, len(devices))]
    count = threads or _cores()
    places = [jax.sharding.SingleDeviceSharding(devices[k % len(devices)]) for k in range(count)]
    return [Layout(place, place, place, 1) for place in places]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values).reshape(-1, values.shape[-1])


def _probabilities(hidden: NDArray[np.float32], readout: Mapping[str, Any]) -> NDArray[np.float32]:
    """Softmax of the readout of hidden states (R, D); what is not finite is found and named later."""
    with np.errstate(all="ignore"):
        logits = hidden @ np.asarray(readout["readout.kernel"]) + np.asarray(readout["readout.bias"])
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _floats(rows: Mapping[str, NDArray[Any]], kinds: Mapping[str, str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Arrays of floating-point numbers among the rows; bfloat16 widened."""
    for path, values in rows.items():
        if kinds[path] == "bfloat16":
            yield path, (values.astype(np.uint32) << 16).view(np.float32)
        elif values.dtype.kind == "f":
            yield path, values
