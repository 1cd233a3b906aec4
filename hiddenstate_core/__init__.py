"""hiddenstate: see what a recurrent network keeps in mind while it reads.

Importing this package does nothing: jax, numba, zarr and the viewer are loaded when a function first needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hiddenstate_core.errors import HiddenStateError

if TYPE_CHECKING:
    from hiddenstate_core.corpora import Corpus as Corpus
    from hiddenstate_core.corpora import Vocabulary as Vocabulary
    from hiddenstate_core.corpora.load import load_corpus as load_corpus
    from hiddenstate_core.models import Model as Model
    from hiddenstate_core.models import ModelSpec as ModelSpec
    from hiddenstate_core.models import TrainOptions as TrainOptions
    from hiddenstate_core.models import load_model as load_model
    from hiddenstate_core.models import train as train

__version__ = "0.1.0"

#: Public name -> module that defines it; loaded on first use.
_WHERE = {
    "Corpus": "hiddenstate_core.corpora",
    "Vocabulary": "hiddenstate_core.corpora",
    "load_corpus": "hiddenstate_core.corpora.load",
    "Model": "hiddenstate_core.models",
    "ModelSpec": "hiddenstate_core.models",
    "TrainOptions": "hiddenstate_core.models",
    "load_model": "hiddenstate_core.models",
    "train": "hiddenstate_core.models",
    "Trace": "hiddenstate_core.traces",
    "Record": "hiddenstate_core.traces",
    "extract": "hiddenstate_core.traces",
    "open_trace": "hiddenstate_core.traces",
    "TSNE": "hiddenstate_core.projection",
    "Embedding": "hiddenstate_core.projection",
    "step_distances": "hiddenstate_core.distances",
    "prediction_evolution": "hiddenstate_core.analysis",
    "dataset_overview": "hiddenstate_core.analysis",
    "confusion_matrix": "hiddenstate_core.analysis",
    "view": "hiddenstate_core.viewing",
    "report": "hiddenstate_core.viewing",
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
