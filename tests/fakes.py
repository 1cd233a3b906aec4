"""Small corpora, models and traces made from a seed, for tests that need something whole but not something trained."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.network import parameter_shapes
from hiddenstate_core.traces import Trace, extract

_WORDS = ("it", "the", "a", "of", "don't", "naïve", "<b>bold</b>", "日本語", "&amp;", "wonderfully", "flaky", "x" * 40)


def make_corpus(
    sequences: int = 40, *, classes: int = 2, longest: int = 60, words: int = 50, seed: int = 0, unlabelled: int = 0
) -> Corpus:
    """Corpus of random words; sequence 0 has no word and sequence 1 has one, the rest 2 to `longest`."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, longest + 1, sequences)
    lengths[:2] = (0, 1)[: min(2, sequences)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    known = ("<unk>", *_WORDS, *(f"word{i}" for i in range(words)))[:words]
    lexicon = (*known[1:], "unheard-of", "unseen")
    vocabulary = Vocabulary(known)
    surface = rng.integers(0, len(lexicon), offsets[-1]).astype(np.int32)
    labels = rng.integers(0, classes, sequences).astype(np.int32)
    labels[sequences - unlabelled :] = -1
    split = (np.arange(sequences) % 2).astype(np.int8)
    return Corpus(
        name="made-up",
        tokens=vocabulary.encode(lexicon)[surface],
        surface=surface,
        offsets=offsets,
        labels=labels,
        classes=tuple(f"class {i}" for i in range(classes)) if classes != 2 else ("negative", "positive"),
        vocabulary=vocabulary,
        lexicon=lexicon,
        split=split,
        splits=("train", "test"),
        ids=tuple(f"made-up/{i}" for i in range(sequences)),
    )


def make_model(corpus: Corpus, hidden: tuple[int, ...] = (12,), *, embedding: int = 6, seed: int = 0) -> Model:
    """Model with random weights, large enough that predictions change along a sequence."""
    rng = np.random.default_rng(seed)
    spec = ModelSpec(hidden=hidden, embedding=embedding)
    shapes = parameter_shapes(spec, len(corpus.vocabulary), len(corpus.classes))
    params = {name: jnp.asarray(rng.normal(size=shape) * 0.8, np.float32) for name, shape in shapes.items()}
    metadata = {"seed": seed, "test_accuracy": 0.5}
    return Model(spec, corpus.vocabulary, corpus.classes, params, metadata=metadata)


def make_trace(
    path: Path,
    sequences: int = 40,
    *,
    classes: int = 2,
    hidden: tuple[int, ...] = (12,),
    projections: tuple[str, ...] = ("tsne",),
    seed: int = 0,
    unlabelled: int = 0,
) -> Trace:
    """A recorded corpus with projections (the states on their first two principal axes, whatever they are called)."""
    corpus = make_corpus(sequences, classes=classes, seed=seed, unlabelled=unlabelled)
    trace = extract(make_model(corpus, hidden, seed=seed), corpus, path, progress=False)
    states = np.asarray(trace.hidden(), np.float64)
    axes = np.linalg.svd(states - states.mean(0), full_matrices=False)[2][:2]
    for name in projections:
        trace.add_projection(
            name,
            ((states - states.mean(0)) @ axes.T).astype(np.float32),
            attributes={"method": "pca", "layer": len(hidden) - 1},
        )
    return trace
