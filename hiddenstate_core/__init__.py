"""hiddenstate: see what a recurrent network keeps in mind while it reads.

Importing this package does nothing: jax, numba, zarr and the viewer are loaded when a function first needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hiddenstate_core.errors import HiddenStateError

if TYPE_CHECKING:
    from hiddenstate_core.analysis import Query as Query
    from hiddenstate_core.analysis import class_flow as class_flow
    from hiddenstate_core.analysis import confusion_matrix as confusion_matrix
    from hiddenstate_core.analysis import dataset_overview as dataset_overview
    from hiddenstate_core.analysis import divergence as divergence
    from hiddenstate_core.analysis import find_sequences as find_sequences
    from hiddenstate_core.analysis import place_text as place_text
    from hiddenstate_core.analysis import prediction_evolution as prediction_evolution
    from hiddenstate_core.analysis import read_text as read_text
    from hiddenstate_core.analysis import step_values as step_values
    from hiddenstate_core.analysis import store_quality as store_quality
    from hiddenstate_core.analysis import word_impact as word_impact
    from hiddenstate_core.cluster import extract as extract
    from hiddenstate_core.corpora import Corpus as Corpus
    from hiddenstate_core.corpora import Vocabulary as Vocabulary
    from hiddenstate_core.corpora import corpus_from_features as corpus_from_features
    from hiddenstate_core.corpora import corpus_from_texts as corpus_from_texts
    from hiddenstate_core.corpora.files import read_corpus as read_corpus
    from hiddenstate_core.corpora.load import load_corpus as load_corpus
    from hiddenstate_core.distances import DistanceHistogram as DistanceHistogram
    from hiddenstate_core.distances import distance_blocks as distance_blocks
    from hiddenstate_core.distances import distance_histogram as distance_histogram
    from hiddenstate_core.distances import distances_to as distances_to
    from hiddenstate_core.distances import pairwise_distances as pairwise_distances
    from hiddenstate_core.distances import plan_histogram as plan_histogram
    from hiddenstate_core.distances import step_distances as step_distances
    from hiddenstate_core.models import Evaluation as Evaluation
    from hiddenstate_core.models import Model as Model
    from hiddenstate_core.models import ModelSpec as ModelSpec
    from hiddenstate_core.models import TrainOptions as TrainOptions
    from hiddenstate_core.models import load_model as load_model
    from hiddenstate_core.models import model_from_torch as model_from_torch
    from hiddenstate_core.models import train as train
    from hiddenstate_core.projection import TSNE as TSNE
    from hiddenstate_core.projection import Embedding as Embedding
    from hiddenstate_core.projection import Placement as Placement
    from hiddenstate_core.projection import Quality as Quality
    from hiddenstate_core.projection import pca as pca
    from hiddenstate_core.projection import quality as quality
    from hiddenstate_core.traces import ExtractOptions as ExtractOptions
    from hiddenstate_core.traces import Record as Record
    from hiddenstate_core.traces import States as States
    from hiddenstate_core.traces import Trace as Trace
    from hiddenstate_core.traces import open_trace as open_trace
    from hiddenstate_core.traces import record_states as record_states
    from hiddenstate_core.traces import verify as verify
    from hiddenstate_core.viewing import ServeOptions as ServeOptions
    from hiddenstate_core.viewing import picture as picture
    from hiddenstate_core.viewing import report as report
    from hiddenstate_core.viewing import view as view

__version__ = "0.1.0"

#: Public name -> module that defines it; loaded on first use.
_WHERE = {
    "Corpus": "hiddenstate_core.corpora",
    "Vocabulary": "hiddenstate_core.corpora",
    "corpus_from_features": "hiddenstate_core.corpora",
    "corpus_from_texts": "hiddenstate_core.corpora",
    "load_corpus": "hiddenstate_core.corpora.load",
    "read_corpus": "hiddenstate_core.corpora.files",
    "Evaluation": "hiddenstate_core.models",
    "Model": "hiddenstate_core.models",
    "ModelSpec": "hiddenstate_core.models",
    "TrainOptions": "hiddenstate_core.models",
    "load_model": "hiddenstate_core.models",
    "model_from_torch": "hiddenstate_core.models",
    "train": "hiddenstate_core.models",
    "ExtractOptions": "hiddenstate_core.traces",
    "Record": "hiddenstate_core.traces",
    "States": "hiddenstate_core.traces",
    "Trace": "hiddenstate_core.traces",
    "extract": "hiddenstate_core.cluster",
    "open_trace": "hiddenstate_core.traces",
    "record_states": "hiddenstate_core.traces",
    "verify": "hiddenstate_core.traces",
    "TSNE": "hiddenstate_core.projection",
    "Embedding": "hiddenstate_core.projection",
    "Placement": "hiddenstate_core.projection",
    "Quality": "hiddenstate_core.projection",
    "pca": "hiddenstate_core.projection",
    "quality": "hiddenstate_core.projection",
    "DistanceHistogram": "hiddenstate_core.distances",
    "distance_blocks": "hiddenstate_core.distances",
    "distance_histogram": "hiddenstate_core.distances",
    "distances_to": "hiddenstate_core.distances",
    "pairwise_distances": "hiddenstate_core.distances",
    "plan_histogram": "hiddenstate_core.distances",
    "step_distances": "hiddenstate_core.distances",
    "Query": "hiddenstate_core.analysis",
    "class_flow": "hiddenstate_core.analysis",
    "confusion_matrix": "hiddenstate_core.analysis",
    "dataset_overview": "hiddenstate_core.analysis",
    "divergence": "hiddenstate_core.analysis",
    "find_sequences": "hiddenstate_core.analysis",
    "place_text": "hiddenstate_core.analysis",
    "prediction_evolution": "hiddenstate_core.analysis",
    "read_text": "hiddenstate_core.analysis",
    "step_values": "hiddenstate_core.analysis",
    "store_quality": "hiddenstate_core.analysis",
    "word_impact": "hiddenstate_core.analysis",
    "ServeOptions": "hiddenstate_core.viewing",
    "picture": "hiddenstate_core.viewing",
    "report": "hiddenstate_core.viewing",
    "view": "hiddenstate_core.viewing",
}

__all__ = ["HiddenStateError", "__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
