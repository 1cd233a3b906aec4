"""The figures of recording as a picture: ratios to PyTorch, and speed into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["draw"]


def draw(told: dict[str, Any], target: Path) -> None:
    """Draw the figures into a .png or .svg file.

    Raises
    ------
    InputError
        Another kind of file.
    MissingExtraError
        matplotlib is not installed.
    """
    from hiddenstate_core.atomic import atomic_path
    from hiddenstate_core.errors import InputError, MissingExtraError

    if target.suffix not in (".png", ".svg"):
        raise InputError(f"The picture must be a .png or .svg file, not {target.name}.")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("Pictures need matplotlib; pip install 'hiddenstate[bench]' brings it.") from error
    style = {"font.size": 9, "svg.hashsalt": "hiddenstate", "axes.linewidth": 0.6, "axes.edgecolor": "#6b6b6b"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9.6, 3.1), layout="constrained")
        panels = figure.subplots(1, 3)
        _draw_ratios(panels[0], told["rows"], "hidden", "Hidden states, times torch nn.LSTM", 1.0)
        _draw_ratios(panels[1], told["rows"], "everything", "All quantities, times a torch LSTMCell loop", 2.0)
        _draw_shares(panels[2], told["rows"])
        with atomic_path(target) as temporary:
            metadata = {"Date": None} if target.suffix == ".svg" else {"Software": None}
            figure.savefig(temporary, format=target.suffix[1:], dpi=144, metadata=metadata)


def _draw_ratios(axes: Any, rows: list[dict[str, Any]], job: str, title: str, wanted: float) -> None:
    """How many times as fast as PyTorch, with the rate in millions of states a second."""
    theirs = {row["units"]: row[job] for row in rows if row["system"] == "torch"}
    bars = []
    for row in rows:
        if row["system"] == "hiddenstate" and row["units"] in theirs:
            mine, peer = row[job], theirs[row["units"]]
            rate = mine["steps"] / mine["seconds"]
            bars.append((row["units"], rate * peer["seconds"] / peer["steps"], f"{rate / 1e6:.2g} M/s"))
    _draw_bars(axes, bars, title, wanted)


def _draw_shares(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Speed into a store as a share of the slower of recording in memory and writing the bytes."""
    bars = []
    for row in (row for row in rows if row["system"] == "hiddenstate"):
        share = max(row["memory"]["seconds"], row["raw"]["seconds"]) / row["store"]["seconds"]
        bars.append((row["units"], 100 * share, f"{share:.0%}"))
    _draw_bars(axes, bars, "Into a store, % of the slower limit", 70.0)


def _draw_bars(axes: Any, bars: list[tuple[int, float, str]], title: str, wanted: float) -> None:
    for place, (_, height, text) in enumerate(bars):
        axes.bar(place, height, 0.55, color="#0072b2")
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.annotate(text, (place, height), (0, 3), textcoords="offset points", ha="center", fontsize=8, bbox=clear)
    axes.axhline(wanted, color="#d55e00", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xticks(range(len(bars)), [f"{units:,}" for units, _, _ in bars])
    axes.set_xlabel("hidden units")
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
