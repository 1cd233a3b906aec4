"""Large trace stores for measuring the viewer: random words read by a small random network, mapped by PCA."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hiddenstate_core.analysis.spatial import open_spatial_order, store_spatial_order
from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.network import parameter_shapes
from hiddenstate_core.projection import pca
from hiddenstate_core.traces import ExtractOptions, Record, Trace, extract

__all__ = ["store_of"]

_WORDS, _UNITS, _EMBEDDING = 5_000, 8, 6
#: Words of a sequence: fewest and most.
_LENGTHS = 20, 180


def store_of(folder: Path, states: int) -> Path:
    """A store of this many states, made in `folder` unless it is there already.

    Parameters
    ----------
    folder : Path
        Where stores are kept.
    states : int
        Number of states; the last sequence is cut so that it is exact.
    """
    path = folder / f"viewer-{states}.zarr"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        corpus = _corpus(states)
        extract(_model(corpus), corpus, path, record=Record(hidden=True), options=ExtractOptions(progress=False))
    trace = Trace(path)
    if "pca" not in trace.projections:
        trace.add_projection("pca", pca(trace.hidden()), attributes={"layer": 0})
    if open_spatial_order(trace, "pca") is None:
        store_spatial_order(trace, "pca")
    return path


def _corpus(states: int) -> Corpus:
    """Words by Zipf's law; sequences of two classes, whose frequent words differ."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(*_LENGTHS, size=2 * states // sum(_LENGTHS) * 2 + 2)
    ends = np.cumsum(lengths)
    count = int(np.searchsorted(ends, states)) + 1
    offsets = np.concatenate([[0], ends[:count]]).astype(np.int64)
    offsets[-1] = states
    labels = rng.integers(0, 2, count).astype(np.int32)
    share = 1 / np.arange(1, _WORDS)
    words = rng.choice(_WORDS - 1, states, p=share / share.sum()).astype(np.int32)
    words = (words + 7 * np.repeat(labels, np.diff(offsets))) % (_WORDS - 1)
    lexicon = tuple(f"word{i}" for i in range(1, _WORDS))
    return Corpus(
        name="random words",
        tokens=(words + 1).astype(np.int32),
        surface=words.astype(np.int32),
        offsets=offsets,
        labels=labels,
        classes=("negative", "positive"),
        vocabulary=Vocabulary(("<unk>", *lexicon)),
        lexicon=lexicon,
        split=np.zeros(count, np.int8),
        splits=("test",),
        ids=tuple(f"random/{i}" for i in range(count)),
    )


def _model(corpus: Corpus) -> Model:
    import jax.numpy as jnp

    rng = np.random.default_rng(1)
    spec = ModelSpec(hidden=(_UNITS,), embedding=_EMBEDDING)
    shapes = parameter_shapes(spec, len(corpus.vocabulary), len(corpus.classes))
    params = {name: jnp.asarray(0.8 * rng.normal(size=shape), np.float32) for name, shape in shapes.items()}
    return Model(spec, corpus.vocabulary, corpus.classes, params, metadata={"seed": 1})
