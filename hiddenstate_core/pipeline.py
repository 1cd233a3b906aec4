"""The main job from end to end: corpus, model, trace, projections, pictures; what is there already is kept."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hiddenstate_core.analysis.map_quality import read_quality, store_quality
from hiddenstate_core.analysis.quantity import check_quantity, recorded_states
from hiddenstate_core.analysis.spatial import spatial_order
from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import InputError, ModelError
from hiddenstate_core.options import Options
from hiddenstate_core.traces.schema import check_name
from hiddenstate_core.traces.trace import Trace

__all__ = ["DEMOS", "Demo", "ProjectionOptions", "project", "run_demo"]

#: Told what is being done, a line at a time.
Say = Callable[[str], None]

#: Up to so many states the quality of a map's points is stored with it by default; neighbours compared.
_QUALITY_STATES, _QUALITY_NEIGHBORS = 200_000, 10


@dataclasses.dataclass(frozen=True)
class ProjectionOptions(Options):
    """How a trace's states are projected.

    Parameters
    ----------
    method : str
        ``"tsne"`` or ``"pca"``.
    perplexity : float
        Effective number of neighbours of a state (t-SNE).
    layer : int
        Whose states; -1 is the last layer.
    seed : int
        Seed of whatever is random.
    iterations : int
        Steps of the optimiser (t-SNE).
    affinity : str
        ``"gaussian"``, or ``"uniform"`` for tens of millions of states (t-SNE; see `TSNE`).
    quantity : str
        What is projected: ``"hidden"``, ``"cell"`` or ``"gate:<name>"``.
    direction : str or None
        ``"forward"`` or ``"backward"``; the network's first by default.
    """

    method: str = "tsne"
    perplexity: float = 30.0
    layer: int = -1
    seed: int = 0
    iterations: int = 750
    affinity: str = "gaussian"
    quantity: str = "hidden"
    direction: str | None = None

    def __post_init__(self) -> None:
        if self.method not in ("tsne", "pca"):
            raise InputError(f"States can be projected by 'tsne' or 'pca', not {self.method!r}.")
        if self.affinity not in ("gaussian", "uniform"):
            raise InputError(f"The affinity must be 'gaussian' or 'uniform', not {self.affinity!r}.")
        check_quantity(self.quantity)


@dataclasses.dataclass(frozen=True)
class Demo:
    """What the demonstration of a corpus records and how it maps it.

    Parameters
    ----------
    sequences : int
        Test sequences recorded, from the first.
    perplexity : float
        Perplexity of their map.
    """

    sequences: int
    perplexity: float


#: Demonstrations by corpus; those of the last two are the paper's use cases.
DEMOS = {
    "stdlib": Demo(sequences=150, perplexity=50.0),
    "imdb": Demo(sequences=100, perplexity=100.0),
    "reuters": Demo(sequences=500, perplexity=100.0),
}


def project(
    trace: Trace,
    name: str | None = None,
    options: ProjectionOptions | None = None,
    *,
    checkpoint: Path | None = None,
    progress: bool = True,
    quality: bool | None = None,
) -> bool:
    """Project a trace's states and store the map, unless one made with the same options is there.

    Parameters
    ----------
    trace : Trace
        A recording with the states.
    name : str, optional
        Name of the projection; the method's by default. One of that name with other options is replaced.
    options : ProjectionOptions, optional
        How to project.
    checkpoint : Path, optional
        A folder in which a long t-SNE is saved from time to time, and from where it goes on.
    progress : bool
        Whether progress is shown.
    quality : bool, optional
        Whether the quality of the map's points is measured and stored, too, where it is not there yet (see
        `store_quality`); by default for up to 200,000 states.

    Returns
    -------
    bool
        Whether the map had to be computed.

    Raises
    ------
    InputError
        A quantity, layer or direction that was not recorded, or options that do not fit the states.
    """
    options = options or ProjectionOptions()
    name = check_name(options.method if name is None else name, "projection")
    states = recorded_states(trace, options.quantity, options.layer, options.direction)
    direction = trace.facts.way(trace.path, options.direction)
    # What is so by default is not named, so that it equals what earlier stores say.
    named = None if direction == trace.directions[0] else direction
    options = options.replace(layer=options.layer % len(trace.layers), direction=named)
    kept = name in trace.projections and _same(trace.projection(name).attributes.get("options"), options)
    if not kept:
        embedding = _embed(states, options, checkpoint, progress)
        source = {"layer": options.layer, "quantity": options.quantity, "direction": direction}
        trace.add_projection(name, embedding, attributes={"options": options.to_dict(), **source}, overwrite=True)
        spatial_order(trace, name)  # kept beside it, so that viewers need not make it
    neighbors = min(_QUALITY_NEIGHBORS, (trace.steps - 1) // 2)
    wanted = trace.steps <= _QUALITY_STATES and os.access(trace.path, os.W_OK) if quality is None else quality
    if wanted and neighbors >= 1 and read_quality(trace, name) is None:
        store_quality(trace, name, k=neighbors, seed=options.seed)
    return not kept


def _same(stored: Any, options: ProjectionOptions) -> bool:
    """Whether a stored projection was made with the same options; those that it does not name had their defaults."""
    try:
        return ProjectionOptions.from_dict(stored) == options
    except InputError:
        return False


def _embed(states: Any, options: ProjectionOptions, checkpoint: Path | None, progress: bool) -> Any:
    from hiddenstate_core.projection import TSNE, pca

    if options.method == "pca":
        return pca(states)
    tsne = TSNE(
        perplexity=options.perplexity,
        max_iter=options.iterations,
        affinity=options.affinity,
        checkpoint=checkpoint,
        random_state=options.seed,
        verbose=int(progress),
    )
    return tsne.fit(states)


def run_demo(name: str, out: Path, *, say: Say, progress: bool = True, seed: int | None = None) -> Trace:
    """Run the main job on a corpus into a folder, going on from what an earlier run left there.

    Parameters
    ----------
    name : str
        Corpus: ``"stdlib"``, ``"imdb"`` or ``"reuters"``.
    out : Path
        Folder for ``model/``, ``trace.zarr``, ``report.html`` and ``overview.png``.
    say : callable
        Told each stage's outcome.
    progress : bool
        Whether progress bars are shown.
    seed : int, optional
        Seed of the training; the recipe's by default.

    Returns
    -------
    Trace
    """
    from hiddenstate_core.corpora.load import load_corpus
    from hiddenstate_core.distances import step_distances
    from hiddenstate_core.models.checkpoint import check_target
    from hiddenstate_core.models.recipes import recipe
    from hiddenstate_core.traces.extract import extract
    from hiddenstate_core.viewing import picture, report, viewer_module

    if name not in DEMOS:
        raise InputError(f"There is no demonstration {name!r}; choose one of {', '.join(DEMOS)}.")
    viewer_module("theme")  # a missing extra is told before minutes of work, not after
    demo, made = DEMOS[name], recipe(name)
    check_target(out / "model")
    corpus = load_corpus(name, vocabulary=made.vocabulary, progress=progress)
    say(f"Corpus {name}: {len(corpus):,} sequences, {len(corpus.tokens):,} words, {len(corpus.classes)} classes")
    options = made.options if seed is None else made.options.replace(seed=seed)
    model = _trained(out / "model", corpus, made.spec, options, progress)
    say(
        f"Model: {model.metadata['test_accuracy']:.2%} of {model.metadata['test_sequences']:,} test sequences right "
        f"(seed {model.metadata['seed']})"
    )
    recorded = corpus.test.select(np.arange(min(demo.sequences, len(corpus.test))))
    trace = extract(model, recorded, out / "trace.zarr", overwrite=True, progress=progress)
    say(f"Trace: {trace.steps:,} states of {len(trace)} test sequences in {out / 'trace.zarr'}")
    step_distances(trace, store=True)
    for layout in (ProjectionOptions(perplexity=demo.perplexity), ProjectionOptions(method="pca")):
        project(trace, options=layout, progress=progress)
    attributes = trace.projection("tsne").attributes
    say(f"Map: t-SNE of {trace.steps:,} states, perplexity {demo.perplexity:g}, KL {attributes['kl_divergence']:.3f}")
    report(trace, out / "report.html", projection="tsne")
    picture(trace, out / "overview.png", projection="tsne")
    say(f"Report: {out / 'report.html'} and {out / 'overview.png'}")
    return trace


def _trained(path: Path, corpus: Corpus, spec: Any, options: Any, progress: bool) -> Any:
    """The model in `path` if it was trained on this corpus with these options, else a new one, saved there."""
    from hiddenstate_core.models import load_model, train

    if path.exists():
        try:
            model = load_model(path)
        except ModelError:
            model = None
        if model is not None and (
            model.spec == spec
            and model.metadata.get("train_options") == options.to_dict()
            and model.metadata.get("corpus", {}).get("fingerprint") == corpus.fingerprint
        ):
            return model
    model = train(corpus, spec, options, progress=progress)
    model.save(path)
    return model
