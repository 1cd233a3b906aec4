"""`Plan`: what a recording will hold, fixed before its first step is run, and the portions it is made in."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNLABELLED, Corpus
from hiddenstate_core.errors import CorpusError, require_kind
from hiddenstate_core.models.model import Model
from hiddenstate_core.models.spec import ModelSpec
from hiddenstate_core.traces.record import CELL_GATES, Record
from hiddenstate_core.traces.schema import StepArray, shard_rows, step_arrays

__all__ = ["Plan", "Portion", "make_plan", "portion_shards", "words_that_occur"]


#: Steps of a portion where nobody says: at least a batch of 32 columns of 2,560 steps for each of two threads, and at
#: most what is computed in some hundredths of a second, since the last portion is written while nothing is computed.
_FEWEST_STEPS, _MOST_STEPS = 5 * 2**15, 2**18
#: Bytes of a portion in between: memory that is used for the first time costs processor time, so no more than pays.
_PORTION, _LARGEST = 64 * 2**20, 512 * 2**20
#: Steps that are looked at together.
_FEW = 2**16


@dataclasses.dataclass(frozen=True, eq=False)
class Portion:
    """A run of whole shards, computed and written together.

    Parameters
    ----------
    number : int
        Its place among the portions.
    shards : range
        Its shards.
    start, stop : int
        Its rows of the store, ``start`` to ``stop - 1``.
    sequences : (R,) int64
        Sequences with a row in it, in the corpus' order; one across its border belongs to its neighbour too.
    """

    number: int
    shards: range
    start: int
    stop: int
    sequences: NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a recording will hold.

    Parameters
    ----------
    spec : ModelSpec
        Architecture of the network.
    corpus : Corpus
        The sequences as the model reads them.
    record : Record
        What is kept, resolved.
    outputs : int
        Classes, or words of the vocabulary for a language model.
    attributes : dict
        Root attributes of the store; JSON values. ``fingerprint`` tells recordings apart.
    compressed : bool
        Whether the arrays of states are compressed.
    words : (W,) int64
        Words of the corpus' lexicon that stand at any of its steps, by number, ascending.
    """

    spec: ModelSpec
    corpus: Corpus
    record: Record
    outputs: int
    attributes: dict[str, Any]
    compressed: bool
    words: NDArray[np.int64]

    @functools.cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each sequence begins and ends in the store, (S + 1,) int64."""
        if self.record.every == 1:
            return self.corpus.offsets
        kept = -(-self.corpus.lengths // self.record.every)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])

    @property
    def steps(self) -> int:
        """Rows of the store's step arrays."""
        return int(self.offsets[-1])

    @functools.cached_property
    def kept(self) -> NDArray[np.int64] | None:
        """Step of the corpus that each row of the store is, (N,) int64; None where every step is kept."""
        if self.record.every == 1:
            return None
        sequence = np.repeat(np.arange(len(self.corpus)), np.diff(self.offsets))
        position = (np.arange(self.steps) - self.offsets[sequence] + 1) * self.record.every - 1
        return self.corpus.offsets[sequence] + np.minimum(position, self.corpus.lengths[sequence] - 1)

    def rows_of(self, steps: NDArray[np.int64], sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the store for steps of the corpus that lie in the sequences given, -1 for those that are not kept."""
        every = self.record.every
        if every == 1:
            return steps
        position = steps - self.corpus.offsets[sequences]
        last = position == self.corpus.lengths[sequences] - 1
        return np.where(last | ((position + 1) % every == 0), self.offsets[sequences] + position // every, -1)

    @functools.cached_property
    def arrays(self) -> tuple[StepArray, ...]:
        """The step arrays that are computed, in the order in which they are written."""
        found = step_arrays(self.spec.hidden, self.directions, self.record, task=self.spec.task, outputs=self.outputs)
        return tuple(found)

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions of every layer."""
        return ("forward", "backward") if self.spec.direction == "both" else (self.spec.direction,)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of all computed arrays together."""
        return sum(array.row_bytes for array in self.arrays)

    @property
    def reads_again(self) -> bool:
        """Whether hidden states of whole portions are kept until something reads them again.

        That is a layer above which reads both directions, or a readout that needs both or goes over the vocabulary.
        """
        language = self.spec.task == "language_model" and self.record.probabilities
        return self.spec.direction == "both" or language

    @property
    def step_bytes(self) -> int:
        """Bytes that a step takes while it is run, besides its row: where it goes, and what is read again."""
        again = sum(self.spec.hidden) * len(self.directions) * 4 if self.reads_again else 0
        return 32 + again

    @functools.cached_property
    def shard(self) -> int:
        """Rows of a shard."""
        # Where few steps are kept, a shard's rows stand for many steps that are run.
        return shard_rows(self.steps, self.record.every * max(array.row_bytes for array in self.arrays))

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.steps // self.shard)

    def portions(self, shards: int) -> list[Portion]:
        """The recording in portions of `shards` shards."""
        return [self.portion(number, shards) for number in range(-(-self.shards // shards))]

    def portion(self, number: int, shards: int) -> Portion:
        """One portion of the recording in portions of `shards` shards."""
        first, last = number * shards, min((number + 1) * shards, self.shards)
        start, stop = first * self.shard, min(last * self.shard, self.steps)
        low = int(np.searchsorted(self.offsets, start, side="right")) - 1
        high = int(np.searchsorted(self.offsets, stop, side="left"))
        chosen = np.arange(low, high, dtype=np.int64)
        return Portion(number, range(first, last), start, stop, chosen[np.diff(self.offsets)[chosen] > 0])


def portion_shards(plan: Plan, memory: int | None = None) -> int:
    """Shards of a portion that takes about `memory` bytes while it is run; at least one.

    By default 64 MiB, but `_FEWEST_STEPS` to `_MOST_STEPS`, and no more than 512 MiB: few steps make narrow batches,
    which cost most where the network, and with it a row, is wide.
    """
    row = plan.row_bytes + plan.record.every * plan.step_bytes
    if memory is None:
        fewest, most = (row * steps // plan.record.every for steps in (_FEWEST_STEPS, _MOST_STEPS))
        memory = min(max(fewest, min(_PORTION, most)), _LARGEST)
    return max(1, memory // (plan.shard * row))


def make_plan(model: Model, corpus: Corpus, record: Record, *, compressed: bool = False) -> Plan:
    """Check that a model can read a corpus and that it has what is to be recorded, and lay down the recording.

    Raises
    ------
    InputError
        A quantity or layer that the network does not have.
    CorpusError
        A corpus without steps, or with other classes or inputs than the model's.
    """
    require_kind(model, Model, "The model")
    require_kind(corpus, Corpus, "The corpus")
    spec = model.spec
    record = record.resolve(spec.cell, len(spec.hidden))
    if spec.task == "classification" and corpus.classes != model.classes:
        raise CorpusError(
            f"The corpus has classes {', '.join(corpus.classes) or '(none)'}, the model has "
            f"{', '.join(model.classes)}; use the corpus that the model was trained on, or one with the same classes."
        )
    encoded = model.encode(corpus)
    if spec.task == "language_model" and encoded.classes:
        # A store names the classes that its probabilities are of; a language model's are of words.
        encoded = dataclasses.replace(encoded, classes=(), labels=np.full(len(encoded), UNLABELLED, np.int32))
    if not len(encoded.tokens):
        raise CorpusError("The corpus has nothing to read: none of its sequences has a step.")
    outputs = len(model.classes) if spec.task == "classification" else len(model.vocabulary)
    with ThreadPoolExecutor(1, thread_name_prefix="plan") as pool:
        occurring = pool.submit(words_that_occur, encoded)
        read = encoded.fingerprint
        used = occurring.result()
    words = [encoded.lexicon[i] for i in used.tolist()]
    attributes = _attributes(model, corpus, encoded, read, record, words)
    return Plan(spec, encoded, record, outputs, attributes, compressed, used)


def words_that_occur(corpus: Corpus, steps: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Words of a corpus' lexicon that stand at any of its steps, or of those given, by number, ascending; O(N)."""
    seen = np.zeros(len(corpus.lexicon), np.bool_)
    for at in range(0, len(corpus.surface) if steps is None else len(steps), _FEW):  # a copy of all would cost as much
        here = slice(at, at + _FEW)
        seen[corpus.surface[here if steps is None else steps[here]]] = True
    return np.flatnonzero(seen)


def _attributes(
    model: Model, corpus: Corpus, encoded: Corpus, read: str, record: Record, words: Sequence[str]
) -> dict[str, Any]:
    # The corpus' own fingerprint tells what the model reads; a store also holds the words as written, names and splits.
    told = hashlib.sha256(np.ascontiguousarray(encoded.split).tobytes())
    for names in (encoded.ids, words, encoded.splits):
        told.update(f"{len(names)}\0".encode() + "\0".join(names).encode("utf-8", "surrogatepass"))
    identity = {
        "model": model.fingerprint,
        "corpus": read,
        "told": told.hexdigest(),
        "record": record.to_dict(),
    }
    spec = model.spec
    attributes = {
        "fingerprint": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        "task": spec.task,
        "cell": spec.cell,
        "direction": spec.direction,
        "classes": list(model.classes) if spec.task == "classification" else [],
        "layers": list(spec.hidden),
        "recorded": list(record.quantities),
        "record": record.to_dict(),
        "gates": list(CELL_GATES[spec.cell]),
        "splits": list(encoded.splits),
        "seed": model.metadata.get("seed"),
        "test_accuracy": model.metadata.get("test_accuracy"),
        "initial_probabilities": _initial_probabilities(model),
        "corpus": {"name": encoded.name, "fingerprint": read if encoded is corpus else corpus.fingerprint},
        "model": {
            "fingerprint": model.fingerprint,
            "vocabulary": model.vocabulary.fingerprint,
            "spec": spec.to_dict(),
            "metadata": model.metadata,
        },
        "versions": _versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(attributes))
    return plain


def _initial_probabilities(model: Model) -> list[float]:
    """Class probabilities of the state before the first step, zeros: only the readout's bias is left of it."""
    if model.spec.task != "classification":
        return []
    logits = np.asarray(model.params["readout.bias"], np.float64)
    shares = np.exp(logits - logits.max())
    return [float(value) for value in (shares / shares.sum()).astype(np.float32)]


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("hiddenstate", "jax", "flax", "zarr", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
