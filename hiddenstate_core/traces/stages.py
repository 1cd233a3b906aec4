"""Stages of a recording: compiled programs that advance a batch of columns by a block of steps."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hiddenstate_core.models.cells import CELLS, State, Weights, matmul
from hiddenstate_core.models.network import Params, layer_weights, readout
from hiddenstate_core.models.spec import ModelSpec
from hiddenstate_core.traces.plan import Plan
from hiddenstate_core.traces.schema import layer_path

__all__ = [
    "PROBABILITIES",
    "Layout",
    "Output",
    "Stage",
    "compilations",
    "compiled_next_words",
    "compiled_stage",
    "needed_params",
    "stages",
]

#: A stage's program: (parameters, inputs, where sequences begin, state) -> (state, outputs by name).
Program = Callable[..., Any]

#: Name of the top layer's float32 hidden states among a stage's outputs.
TOP = "top"
#: Name of the table among a stage's parameters.
TABLE = "table"
#: Hidden units beyond which no core's cache holds a recurrent kernel.
_WIDE = 512
#: Hidden units up to which a product of a step is too small to be shared out.
_NARROW = 256
#: Most bytes of a network's tables: beyond, rows come from memory so slowly that computing them is as fast.
_TABLE_BYTES = 2**27
PROBABILITIES = "steps/probabilities"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Devices that run a group of columns, and how arrays are laid on them; hashable.

    Parameters
    ----------
    columns : jax.sharding.Sharding
        Of arrays (T, B, ...) whose second axis is the columns.
    rows : jax.sharding.Sharding
        Of arrays (B, ...).
    everywhere : jax.sharding.Sharding
        Of parameters.
    devices : int
        How many share the columns.
    """

    columns: Any
    rows: Any
    everywhere: Any
    devices: int

    @property
    def spread(self) -> bool:
        """Whether the columns are shared out to several devices by the compiler."""
        return isinstance(self.columns, jax.sharding.NamedSharding)

    def compiler_options(self, spec: ModelSpec) -> dict[str, bool | str | int | float]:
        """How a network's programs are compiled: on a CPU, such that every thread runs a group of columns by itself.

        XLA hands products to a library (YNNPACK) that shares each out to all cores, whatever it is told; where one
        takes some 50 microseconds, that is mostly waiting (at 100 units 13 % of both cores' time). Where kernels are
        wide, one group runs at a time, and sharing out is what is wanted.
        """
        (device, *_) = self.everywhere.device_set
        if device.platform != "cpu":
            return {}
        # Vectors of 512 bits, where a processor has them: 3 to 10 % faster than the 256 that XLA takes.
        wanted: dict[str, bool | str | int | float] = {"xla_cpu_prefer_vector_width": 512}
        if not has_wide_kernels(spec):
            wanted["xla_cpu_multi_thread_eigen"] = False
        if max(spec.hidden) <= _NARROW:
            wanted["xla_cpu_experimental_ynn_fusion_type"] = ""
        return {name: value for name, value in wanted.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: bool | str | int | float) -> bool:
    """Whether this release of XLA takes an option; those of its CPU compiler come and go."""
    try:
        jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def has_wide_kernels(spec: ModelSpec) -> bool:
    """Whether a CPU reads a recurrent kernel from memory at every step (16 bytes times the units' square, for an LSTM).

    That takes about as long as the step's products with it, so that one group of columns, whose products are shared out
    to all cores, is better than two groups of half as many at once.
    """
    return jax.default_backend() == "cpu" and max(spec.hidden) > _WIDE


@dataclasses.dataclass(frozen=True)
class Output:
    """A recorded array that a stage gives rows of: layer, the state's or gate's name, and its type."""

    layer: int
    name: str
    dtype: str
    path: str


@dataclasses.dataclass(frozen=True)
class Stage:
    """Layers that are run together over a block of steps, in one direction.

    Parameters
    ----------
    layers : tuple of int
        Layers, each reading the one before.
    direction : str
        ``"forward"`` or ``"backward"``.
    source : str
        What the first one reads: ``"tokens"``, ``"features"``, or ``"below"``, the hidden states of the layer below;
        ``"table"`` where its part of the gates' inputs is looked up by token.
    outputs : tuple of Output
        What is recorded.
    probabilities : bool
        Whether the readout is applied at every step.
    """

    layers: tuple[int, ...]
    direction: str
    source: str
    outputs: tuple[Output, ...]
    probabilities: bool

    @property
    def top(self) -> str:
        """Name, among the outputs, of the last of its layers' float32 hidden states."""
        for output in self.outputs:
            if output.layer == self.layers[-1] and output.name == "hidden" and output.dtype == "float32":
                return output.path
        return TOP


def stages(plan: Plan) -> list[Stage]:
    """The stages of a recording, in the order in which they are run.

    A network that reads in one direction is one stage. One that reads in both is two stages a layer, since a layer
    reads what both directions of the layer below have to say of a step.
    """
    spec, record = plan.spec, plan.record
    names = [n for n, kept in (("hidden", record.hidden), ("cell", record.cell)) if kept]
    names += [f"gates/{gate}" for gate in record.gates]

    def outputs(layers: tuple[int, ...], direction: str) -> tuple[Output, ...]:
        return tuple(
            Output(layer, name, record.dtype, layer_path(layer, name, direction))
            for layer in layers
            if layer in (record.layers or ())
            for name in names
        )

    everything = tuple(range(len(spec.hidden)))
    source = "table" if _has_table(plan) else spec.inputs
    if len(plan.directions) == 1:
        kept = record.probabilities and spec.task == "classification"
        (direction,) = plan.directions
        return [Stage(everything, direction, source, outputs(everything, direction), kept)]
    return [
        Stage((layer,), direction, "below" if layer else source, outputs((layer,), direction), False)
        for layer in everything
        for direction in plan.directions
    ]


def _has_table(plan: Plan) -> bool:
    """Whether a word's part of the gates' inputs is worth computing once and for all: a row of it is then copied at
    every step, where an embedding would be multiplied by the input kernel."""
    words, cell = len(plan.corpus.vocabulary), CELLS[plan.spec.cell]
    size = 4 * words * cell.blocks * plan.spec.hidden[0] * len(plan.directions)
    return plan.spec.inputs == "tokens" and words <= len(plan.corpus.tokens) and size <= _TABLE_BYTES


def needed_params(params: Params, spec: ModelSpec, stage: Stage, layout: Layout) -> Params:
    """What a stage's program reads, on its devices: parameters, and the table where it looks words up in one."""
    prefixes = tuple(f"layers.{layer}.{stage.direction}." for layer in stage.layers)
    kept = {name: value for name, value in params.items() if name.startswith(prefixes)}
    if stage.source == "table":
        kernel, bias = (kept.pop(f"{prefixes[0]}{name}") for name in ("input_kernel", "bias"))
        kept[TABLE] = _jitted_table(spec, layout)(params["embedding"], kernel, bias)
    elif stage.source == "tokens":
        kept["embedding"] = params["embedding"]
    if stage.probabilities:
        kept |= {name: params[name] for name in ("readout.kernel", "readout.bias")}
    return jax.device_put(kept, layout.everywhere)


@functools.lru_cache(maxsize=64)
def _jitted_table(spec: ModelSpec, layout: Layout) -> Program:
    """The first layer's part of the gates' inputs for every word, (V, blocks * H); at least 64 rows.

    It is compiled as the program is that multiplies where there is no table, so that both round alike; and XLA
    multiplies fewer rows by another kernel than a block of steps.
    """

    def table(embedding: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        missing = max(0, 64 - embedding.shape[0])
        return matmul(jnp.pad(embedding, ((0, missing), (0, 0))), kernel) + bias

    return jax.jit(table, compiler_options=layout.compiler_options(spec))


@functools.lru_cache(maxsize=64)
def _program(spec: ModelSpec, stage: Stage) -> Program:
    """What a stage does with a block of T steps of B columns; see `compiled_stage`."""
    cell = CELLS[spec.cell]

    def scan(weights: Weights, projected: jax.Array, first: jax.Array, state: State, kept: tuple[Output, ...]) -> Any:
        units = weights["recurrent_kernel"].shape[0]

        def advance(state: State, at: tuple[jax.Array, jax.Array]) -> tuple[State, tuple[jax.Array, ...]]:
            projected, begins = at
            # `where`, not a product: a state that is not finite must not reach the column's next sequence.
            state = tuple(jnp.where(begins[:, None], 0.0, s) for s in state)
            state, gates = cell.step(weights, state, projected)
            values = dict(zip(cell.states, state, strict=True))
            blocks = {f"gates/{g}": gates[:, k * units : (k + 1) * units] for k, g in enumerate(cell.gates)}
            found = tuple(_stored({**values, **blocks}[output.name], output.dtype) for output in kept)
            return state, (state[0], *found)

        return jax.lax.scan(advance, state, (projected, first))

    def run(
        params: Params, inputs: jax.Array, first: jax.Array, state: tuple[State, ...]
    ) -> tuple[tuple[State, ...], dict[str, jax.Array]]:
        sought = {"tokens": "embedding", "table": TABLE}.get(stage.source)
        rows = inputs if sought is None else jnp.take(params[sought], inputs, axis=0, mode="clip")
        after: list[State] = []
        found: dict[str, jax.Array] = {}
        for place, layer in enumerate(stage.layers):
            kept = tuple(output for output in stage.outputs if output.layer == layer)
            weights = layer_weights(params, layer, stage.direction)
            # What the layer above reads is recorded as it is, where nothing else was asked for.
            scanned = tuple(output for output in kept if (output.name, output.dtype) != ("hidden", "float32"))
            if place or stage.source != "table":
                rows = matmul(rows, weights["input_kernel"]) + weights["bias"]
            now, (rows, *recorded) = scan(weights, rows, first, state[place], scanned)
            after.append(now)
            found |= {output.path: values for output, values in zip(scanned, recorded, strict=True)}
            found |= {output.path: rows for output in kept if output not in scanned}
        if stage.probabilities:
            found[PROBABILITIES] = jax.nn.softmax(readout(params, rows))
        return tuple(after), {**found, stage.top: rows}

    return run


def _stored(values: jax.Array, dtype: str) -> jax.Array:
    """Values in the type that they are stored in; bfloat16 as bit patterns."""
    if dtype == "bfloat16":
        return jax.lax.bitcast_convert_type(values.astype(jnp.bfloat16), jnp.uint16)
    return values.astype(dtype)


_lock = threading.Lock()
_seen: set[Any] = set()


def compilations() -> int:
    """Programs compiled for recordings by this process so far."""
    return len(_seen)


def compiled_stage(spec: ModelSpec, stage: Stage, layout: Layout) -> Program:
    """A stage's program, compiled when it is first called with arguments of new shapes.

    It takes the parameters; inputs (T, B) int32 or (T, B, D) float32; ``first`` (T, B) bool, where a sequence begins;
    and the state, a tuple for each layer, whose memory is used for the result.

    Parameters
    ----------
    spec : ModelSpec
        Architecture.
    stage : Stage
        Which layers, and what is kept.
    layout : Layout
        Where its columns lie.
    """
    return _counted(_jitted(spec, stage, layout), (spec, stage, layout))


def compiled_next_words(top: int, layout: Layout) -> Program:
    """The program that reads a language model out.

    It takes parameters, hidden states (R, D) float32 and the words (R,) int32 that did come next, and gives the
    probabilities (R, top) float32 and ids (R, top) int32 of the likeliest words, and the probability (R,) float32 of
    the word that came. O(R V) memory.
    """
    return _counted(_jitted_next_words(top, layout), (top, layout))


@functools.lru_cache(maxsize=64)
def _jitted(spec: ModelSpec, stage: Stage, layout: Layout) -> Program:
    run, options = _program(spec, stage), layout.compiler_options(spec)
    if not layout.spread:
        return jax.jit(run, donate_argnums=(3,), compiler_options=options)
    shardings = (layout.everywhere, layout.columns, layout.columns, layout.rows)
    return jax.jit(run, donate_argnums=(3,), in_shardings=shardings, compiler_options=options)


@functools.lru_cache(maxsize=64)
def _jitted_next_words(top: int, layout: Layout) -> Program:
    def run(params: Params, hidden: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        probabilities = jax.nn.softmax(readout(params, hidden))
        likeliest, words = jax.lax.top_k(probabilities, top)
        came = jnp.take_along_axis(probabilities, targets[:, None], axis=1)[:, 0]
        return likeliest, words.astype(jnp.int32), came

    return jax.jit(run)


def _counted(program: Program, key: Any) -> Program:
    """The program; its first call with a second argument of some shape is counted, and is one thread's alone."""
    known: set[tuple[int, ...]] = set()  # of this caller, who asks at every block of steps

    def call(*arguments: Any) -> Any:
        shape = arguments[1].shape
        if shape in known:
            return program(*arguments)
        known.add(shape)
        if (key, shape) in _seen:
            return program(*arguments)
        with _lock:
            result = program(*arguments)
            _seen.add((key, shape))
        return result

    return call
