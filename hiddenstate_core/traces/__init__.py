"""Traces: every recorded quantity at every step, in a Zarr store."""

from hiddenstate_core.traces.extract import ExtractOptions, extract
from hiddenstate_core.traces.trace import Projection, SequenceTrace, Trace, open_trace

__all__ = ["ExtractOptions", "Projection", "SequenceTrace", "Trace", "extract", "open_trace"]
