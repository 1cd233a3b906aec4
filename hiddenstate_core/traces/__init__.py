"""Traces: every recorded quantity at every step, in a Zarr store."""

from hiddenstate_core.traces.extract import ExtractOptions, States, extract, record_states
from hiddenstate_core.traces.lazy import LazyArray
from hiddenstate_core.traces.record import Record
from hiddenstate_core.traces.selection import Selection
from hiddenstate_core.traces.sequence import SequenceTrace
from hiddenstate_core.traces.stored import StoredArray
from hiddenstate_core.traces.trace import Projection, Trace, open_trace
from hiddenstate_core.traces.verify import Damage, Verification, verify

__all__ = [
    "Damage",
    "ExtractOptions",
    "LazyArray",
    "Projection",
    "Record",
    "Selection",
    "SequenceTrace",
    "States",
    "StoredArray",
    "Trace",
    "Verification",
    "extract",
    "open_trace",
    "record_states",
    "verify",
]
