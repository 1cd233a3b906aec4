"""Traces: every recorded quantity at every step, in a Zarr store."""

from hiddenstate_core.traces.extract import extract
from hiddenstate_core.traces.trace import Projection, SequenceTrace, Trace, open_trace

__all__ = ["Projection", "SequenceTrace", "Trace", "extract", "open_trace"]
