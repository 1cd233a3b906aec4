"""Records every review of IMDB, all three splits at full length, and says what that took: time, memory, disk."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine

__all__ = ["run", "section"]


def run(model: Path, store: Path, out: Path | None = None) -> dict[str, Any]:
    """Record the hidden states of all 100,000 reviews with a model's weights; returns the figures.

    Raises
    ------
    InputError
        Something lies at `store`.
    """
    from hiddenstate_core.atomic import write_text
    from hiddenstate_core.corpora.load import load_corpus
    from hiddenstate_core.errors import InputError
    from hiddenstate_core.models import load_model
    from hiddenstate_core.traces import Record, extract, verify

    if store.exists():
        raise InputError(f"{store} exists; choose a path where nothing is.")
    loaded = load_model(model)
    loaded = dataclasses.replace(loaded, spec=loaded.spec.replace(max_length=None))
    began = time.perf_counter()
    corpus = load_corpus("imdb", vocabulary=len(loaded.vocabulary), splits=("train", "test", "unsup"))
    reading = time.perf_counter() - began
    before = machine.peak_megabytes()
    began, cpu = time.perf_counter(), time.process_time()
    trace = extract(loaded, corpus, store, record=Record(probabilities=True))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    peak = machine.peak_megabytes()
    rng = np.random.default_rng(0)
    times = []
    for number in rng.integers(0, len(trace), 1000).tolist():
        at = time.perf_counter()
        trace.sequence(number).hidden()
        times.append(time.perf_counter() - at)
    began = time.perf_counter()
    intact = verify(store).intact
    told = {
        "schema": 1,
        "benchmark": "reviews",
        "sequences": len(trace),
        "steps": trace.steps,
        "units": trace.layers[-1],
        "corpus_seconds": reading,
        "corpus_megabytes": before,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_megabytes": peak,
        "bytes": size,
        "sequence_p50": float(np.percentile(times, 50)),
        "sequence_p95": float(np.percentile(times, 95)),
        "intact": intact,
        "verify_seconds": time.perf_counter() - began,
        "free_after": shutil.disk_usage(store).free,
        "machine": {**machine.describe(), "load": machine.load()},
    }
    if out is not None:
        write_text(out, json.dumps(told, indent=1) + "\n")
    return told


def section(told: dict[str, Any]) -> str:
    """The figures as lines of text."""
    return "\n".join(
        (
            f"{told['machine']['processor']}, {told['machine']['cores']} cores, load {told['machine']['load']:g}",
            f"{told['sequences']:,} reviews, {told['steps']:,} steps x {told['units']} hidden units and probabilities",
            f"reading the corpus   {told['corpus_seconds']:.1f} s, {told['corpus_megabytes']:,.0f} MB resident at most",
            f"recording            {told['seconds']:.1f} s ({told['cpu_seconds']:.1f} processor seconds), "
            f"{told['steps'] / told['seconds'] / 1e6:.2f} million states a second",
            f"resident at most     {told['peak_megabytes']:,.0f} MB",
            f"on disk              {told['bytes'] / 1e9:.2f} GB",
            f"a random sequence    {1e3 * told['sequence_p50']:.2f} ms (95 %: {1e3 * told['sequence_p95']:.2f} ms)",
            f"verification         {told['verify_seconds']:.1f} s, {'intact' if told['intact'] else 'DAMAGED'}",
        )
    )
