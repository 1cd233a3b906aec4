"""t-SNE beside its peers: time, divergence on the same exact affinities, peak memory."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import machine, states
from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors import nearest_neighbors
from hiddenstate_core.projection import kl_divergence, perplexity_affinities

__all__ = ["PEERS", "Plan", "run"]

#: Peer -> distribution that holds it.
PEERS = {"sklearn": "scikit-learn", "opentsne": "openTSNE"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of states.
    perplexity : float
        Of every map, and of the affinities that judge them.
    states : Path or None
        Where the states come from; None for the stand-in.
    systems : tuple of str
        ``"hiddenstate"`` and peers.
    repeats : int
        Runs of each system; the median counts.
    threads : int or None
        Threads of each system; None for all cores.
    """

    sizes: tuple[int, ...]
    perplexity: float
    states: Path | None
    systems: tuple[str, ...]
    repeats: int
    threads: int | None


def run(plan: Plan, report: Path | None) -> list[dict[str, Any]]:
    """Measure, print a table, and write JSON where `report` says."""
    if plan.repeats < 1:
        raise InputError(f"--repeats must be at least 1, not {plan.repeats}.")
    rows: list[dict[str, Any]] = []
    for n in plan.sizes:
        x = states.load(plan.states, n)
        graph = nearest_neighbors(x, min(n - 1, int(3 * plan.perplexity)), method="exact")
        affinities = perplexity_affinities(graph, plan.perplexity)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "states.npy"
            np.save(source, x)
            for system in plan.systems:
                figures = [_one(system, source, Path(folder) / "map.npy", plan) for _ in range(plan.repeats)]
                divergences = [kl_divergence(affinities, coordinates) for _, coordinates in figures]
                rows.append({"system": system, "n": n} | _summary([f for f, _ in figures], divergences))
    _show(rows, plan)
    if report is not None:
        told = {
            "benchmark": "tsne",
            "perplexity": plan.perplexity,
            "states": "stand-in" if plan.states is None else plan.states.name,
            "machine": machine.describe(),
            "rows": rows,
        }
        write_text(report, json.dumps(told, indent=1) + "\n")
    return rows


def _one(system: str, source: Path, target: Path, plan: Plan) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """One run in a process of its own: its figures and its map."""
    threads = plan.threads or machine.cores()
    environment = os.environ | dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)
    )
    command = [sys.executable, "-m", "benchmarks.worker", system, str(source), str(target)]
    command += [str(plan.perplexity), str(threads)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise InputError(f"{system} failed with status {done.returncode}; is {PEERS.get(system, system)} installed?")
    return json.loads(done.stdout.splitlines()[-1]), np.load(target)


def _summary(figures: list[dict[str, Any]], divergences: list[float]) -> dict[str, Any]:
    seconds = [f["seconds"] for f in figures]
    return {
        "version": figures[0]["version"],
        "threads": figures[0]["threads"],
        "iterations": figures[0]["iterations"],
        "seconds": statistics.median(seconds),
        "seconds_spread": [min(seconds), max(seconds)],
        "warm_up_seconds": statistics.median(f["warm_up_seconds"] for f in figures),
        "kl_divergence": statistics.median(divergences),
        "peak_megabytes": max(f["peak_megabytes"] for f in figures),
    }


def _show(rows: list[dict[str, Any]], plan: Plan) -> None:
    table = Table(title=f"t-SNE, perplexity {plan.perplexity:g}, median of {plan.repeats}")
    for name in ("states", "system", "iterations", "seconds", "spread", "KL", "peak MB"):
        table.add_column(name, justify="left" if name == "system" else "right")
    for row in rows:
        low, high = row["seconds_spread"]
        table.add_row(
            f"{row['n']:,}",
            f"{row['system']} {row['version']}",
            str(row["iterations"]),
            f"{row['seconds']:.1f}",
            f"{low:.1f} to {high:.1f}",
            f"{row['kl_divergence']:.4f}",
            f"{row['peak_megabytes']:.0f}",
        )
    Console().print(table)
