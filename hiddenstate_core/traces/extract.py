"""`extract`: runs a model over a corpus and streams every state it passes through to a trace store."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import CorpusError, InputError, StoreError
from hiddenstate_core.models.model import Model
from hiddenstate_core.models.network import Params, Recording, record_sequence
from hiddenstate_core.progress import Advance, progress_bar
from hiddenstate_core.traces.schema import GATES, RECORDABLE, layer_path
from hiddenstate_core.traces.trace import Trace
from hiddenstate_core.traces.writer import Plan, Writer, check_target, locked

__all__ = ["ExtractOptions", "bucket_length", "extract"]


@dataclasses.dataclass(frozen=True)
class ExtractOptions:
    """How a corpus is recorded; does not change what is recorded beyond float32 rounding.

    Parameters
    ----------
    batch_size : int
        Sequences run at once. 64 to 128 keep a step of an LSTM of 100 units in a CPU's cache.
    overwrite : bool
        Whether another recording at the path is replaced.
    progress : bool
        Whether a progress bar is shown.
    """

    batch_size: int = 128
    overwrite: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"A batch holds one sequence or more, not {self.batch_size}.")


def extract(
    model: Model,
    corpus: Corpus,
    path: str | os.PathLike[str],
    *,
    record: Sequence[str] = RECORDABLE,
    options: ExtractOptions | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Trace:
    """Run `model` over `corpus` and store every state at every step.

    Steps are written in the corpus' order, a shard at a time: memory is bounded by two shards (about 32 MiB for each
    array recorded), whatever the corpus' size. A shard depends on the model, the corpus and its number only, so a run
    that was killed is finished by calling this again, with the same bytes as an uninterrupted one.

    Parameters
    ----------
    model : Model
        The network; the corpus is encoded with its vocabulary and cut to its ``max_length``.
    corpus : Corpus
        What is read. Its classes must be the model's.
    path : path-like
        Where the store is made (a folder); it appears there when it is whole.
    record : sequence of str
        Some of ``"hidden"``, ``"cell"``, ``"gates"``; the readout's probabilities are always recorded.
    options : ExtractOptions, optional
        Batch size and the two below together.
    overwrite : bool
        Whether another recording at `path` is replaced. The same recording is never made twice.
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
        A corpus without words, or with other classes than the model's.
    StoreError
        Another recording at `path`, another process recording into it, a folder that cannot be written, or a state
        that is not finite (named by sequence and step).
    """
    options = options or ExtractOptions(overwrite=overwrite, progress=progress)
    plan = _plan(model, corpus, record)
    target = Path(path)
    with locked(target):
        if not check_target(target, plan.attributes["fingerprint"], overwrite=options.overwrite):
            try:
                writer = Writer(plan, target)
                _record_missing(model, plan, writer, options)
                writer.finish(np.asarray(plan.attributes["initial_probabilities"], np.float32))
            except OSError as error:
                raise StoreError(
                    f"Recording into {target} stopped: {error.strerror or error}. "
                    "What was recorded so far is kept; run the same command again to finish."
                ) from error
    return Trace(target)


def bucket_length(length: int, longest: int) -> int:
    """Length that a batch whose longest sequence has `length` words is padded to.

    Four lengths an octave, so that a corpus compiles a handful of programs and pads little; never more than
    `longest`, the longest sequence of the corpus.
    """
    if length <= 16:
        return min(16, longest)
    step = 1 << max(0, (length - 1).bit_length() - 3)
    return min(-(-length // step) * step, longest)


def _plan(model: Model, corpus: Corpus, record: Sequence[str]) -> Plan:
    wanted = (record,) if isinstance(record, str) else tuple(record)
    unknown = [q for q in wanted if q not in RECORDABLE]
    if unknown:
        raise InputError(f"An LSTM has no {unknown[0]!r} to record; it has {', '.join(RECORDABLE)}.")
    if not wanted:
        raise InputError(f"Nothing to record was named; choose some of {', '.join(RECORDABLE)}.")
    kept = tuple(q for q in RECORDABLE if q in wanted)
    if corpus.classes != model.classes:
        raise CorpusError(
            f"The corpus has classes {', '.join(corpus.classes)}, the model has {', '.join(model.classes)}; "
            "use the corpus that the model was trained on, or one with the same classes."
        )
    encoded = model.encode(corpus)
    if not len(encoded.tokens):
        raise CorpusError("The corpus has no words to read.")
    identity = {
        "model": model.fingerprint,
        "corpus": encoded.fingerprint,
        "ids": hashlib.sha256("\0".join(encoded.ids).encode("utf-8", "surrogatepass")).hexdigest(),
        "record": kept,
    }
    initial = jax.nn.softmax(_initial_logits(model.params))
    attributes = {
        "fingerprint": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        "classes": list(model.classes),
        "layers": list(model.spec.hidden),
        "recorded": list(kept),
        "splits": list(encoded.splits),
        "seed": model.metadata.get("seed"),
        "test_accuracy": model.metadata.get("test_accuracy"),
        "initial_probabilities": np.asarray(initial, np.float32).tolist(),
        "gates": list(GATES),
        "corpus": {"name": encoded.name, "fingerprint": corpus.fingerprint},
        "model": {
            "fingerprint": model.fingerprint,
            "vocabulary": model.vocabulary.fingerprint,
            "spec": model.spec.to_dict(),
            "metadata": model.metadata,
        },
        "versions": _versions(),
    }
    return Plan(encoded, tuple(model.spec.hidden), kept, json.loads(json.dumps(attributes)))


def _initial_logits(params: Params) -> jax.Array:
    # The state before the first word is zero, so only the readout's bias is left of it.
    return jnp.asarray(params["readout.bias"])


def _record_missing(model: Model, plan: Plan, writer: Writer, options: ExtractOptions) -> None:
    """Compute the shards that are not on disk, writing each while the next is computed."""
    missing = writer.missing()
    run = _compiled(plan.record)
    todo = sum(stop - start for start, stop in map(plan.rows, missing))
    with (
        progress_bar("Recording states", todo, show=options.progress) as advance,
        ThreadPoolExecutor(1, thread_name_prefix="trace-writer") as pool,
    ):
        writing: Future[None] | None = None
        for shard in missing:
            rows = _record_shard(model.params, plan, shard, run, options.batch_size, advance)
            if writing is not None:
                writing.result()
            writing = pool.submit(writer.write, shard, rows)
        if writing is not None:
            writing.result()


@functools.cache
def _compiled(record: tuple[str, ...]) -> Callable[[Params, jax.Array], dict[str, Any]]:
    """The recorder over a batch (B, T) of padded sequences, keeping only what is wanted."""

    def run(params: Params, tokens: jax.Array) -> dict[str, Any]:
        recording: Recording = jax.vmap(record_sequence, in_axes=(None, 0))(params, tokens)
        kept: dict[str, Any] = {"probabilities": recording["probabilities"]}
        if "hidden" in record:
            kept["hidden"] = recording["hidden"]
        if "cell" in record:
            kept["cell"] = recording["cell"]
        if "gates" in record:
            kept["gates"] = recording["gates"]
        return kept

    return jax.jit(run)


def _record_shard(
    params: Params,
    plan: Plan,
    shard: int,
    run: Callable[[Params, jax.Array], dict[str, Any]],
    batch_size: int,
    advance: Advance,
) -> dict[str, NDArray[np.float32]]:
    """All rows of one shard, by array path."""
    start, stop = plan.rows(shard)
    rows = {s.path: np.empty((stop - start, s.width or 1), np.float32) for s in plan.arrays()}
    for sequences, tokens in _batches(plan, shard, batch_size):
        recording = {k: jax.device_get(v) for k, v in run(params, jnp.asarray(tokens)).items()}
        first, last = plan.corpus.offsets[sequences], plan.corpus.offsets[sequences + 1]
        # Sequences across the shard's border are run whole; only their rows of this shard are kept.
        low, high = np.maximum(first, start), np.minimum(last, stop)
        for path, block in _columns(recording, plan):
            buffer = rows[path]
            for b in range(len(sequences)):
                buffer[low[b] - start : high[b] - start] = block[b, low[b] - first[b] : high[b] - first[b]]
        advance(float((high - low).sum()))
    for path, values in rows.items():
        if not np.isfinite(values).all():
            row = start + int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            sequence = int(np.searchsorted(plan.corpus.offsets, row, side="right")) - 1
            raise StoreError(
                f"{path} is not finite at step {row - int(plan.corpus.offsets[sequence])} of sequence {sequence} "
                f"({plan.corpus.ids[sequence]}); the model's weights are too large or damaged."
            )
    return rows


def _columns(recording: dict[str, Any], plan: Plan) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Path and (B, T, width) block of every array of the store that a batch's recording fills."""
    yield "steps/probabilities", recording["probabilities"]
    for layer, units in enumerate(plan.layers):
        for quantity in plan.record:
            block = recording[quantity][layer]
            if quantity != "gates":
                yield layer_path(layer, quantity), block
                continue
            for k, gate in enumerate(GATES):
                yield layer_path(layer, f"gates/{gate}"), block[..., k * units : (k + 1) * units]


def _batches(plan: Plan, shard: int, batch_size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Sequences of a shard by length, in padded batches (B, T) that always have `batch_size` rows."""
    corpus = plan.corpus
    sequences = plan.sequences(shard)
    lengths = corpus.lengths
    longest = int(lengths.max())
    order = sequences[np.argsort(lengths[sequences], kind="stable")]
    for at in range(0, len(order), batch_size):
        chosen = order[at : at + batch_size]
        tokens = np.zeros((batch_size, bucket_length(int(lengths[chosen[-1]]), longest)), np.int32)
        for row, sequence in enumerate(chosen.tolist()):
            words = corpus.sequence(sequence)
            tokens[row, : len(words)] = words
        yield chosen, tokens


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("hiddenstate", "jax", "flax", "zarr", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
