"""The block-wise jobs on the workers of a Dask cluster: the same results as in one process.

Importing this package loads nothing; `distributed` is needed where a client is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hiddenstate_core.cluster.client import ClusterError as ClusterError
    from hiddenstate_core.cluster.client import connect as connect
    from hiddenstate_core.cluster.extraction import extract as extract
    from hiddenstate_core.cluster.histogram import distance_histogram as distance_histogram
    from hiddenstate_core.cluster.maps import quality as quality
    from hiddenstate_core.cluster.placing import place as place

#: Public name -> module that defines it; loaded on first use, since each needs other libraries.
_WHERE = {
    "ClusterError": "client",
    "connect": "client",
    "distance_histogram": "histogram",
    "extract": "extraction",
    "place": "placing",
    "quality": "maps",
}

__all__ = ["ClusterError", "connect", "distance_histogram", "extract", "place", "quality"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
