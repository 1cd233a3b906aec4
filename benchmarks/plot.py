"""Results as a picture: time, memory and quality against the number of states, or recall against time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.results import Row
from benchmarks.tables import name
from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.errors import InputError, MissingExtraError

__all__ = ["draw"]

#: Okabe & Ito's colours, told apart by everyone; ours is the strongest.
_COLOURS = {
    "hiddenstate": "#0072b2",
    "sklearn": "#8c6d00",
    "intelex": "#b3509a",
    "opentsne": "#d55e00",
    "pynndescent": "#d55e00",
    "faiss": "#00805f",
}
_INK, _QUIET, _RULE = "#222222", "#6b6b6b", "#e3e3e3"


def draw(benchmark: str, rows: list[Row], target: Path) -> None:
    """Draw the rows of one benchmark into a PNG or SVG file.

    Raises
    ------
    InputError
        Another kind of file, or nothing to draw.
    MissingExtraError
        matplotlib is not installed.
    """
    if target.suffix not in (".png", ".svg"):
        raise InputError(f"The picture must be a .png or .svg file, not {target.name}.")
    rows = [row for row in rows if "error" not in row]
    if not rows:
        raise InputError("There is nothing to draw: no system has figures.")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("Pictures need matplotlib; pip install 'hiddenstate[bench]' brings it.") from error
    style = {
        "font.family": "sans-serif",
        "font.size": 9,
        "svg.hashsalt": "hiddenstate",  # without it the same picture differs from run to run
        "axes.edgecolor": _QUIET,
        "axes.linewidth": 0.6,
        "xtick.color": _QUIET,
        "ytick.color": _QUIET,
        "text.color": _INK,
    }
    with matplotlib.rc_context(style):
        figure = _scatter(Figure, rows) if benchmark == "neighbors" else _panels(Figure, benchmark, rows)
        with atomic_path(target) as temporary:
            figure.savefig(
                temporary,
                format=target.suffix[1:],
                dpi=144,
                metadata={"Date": None} if target.suffix == ".svg" else {"Software": None},
            )


def _panels(make: Any, benchmark: str, rows: list[Row]) -> Any:
    """Small multiples over the number of states, a line a system."""
    if benchmark == "tsne":
        figures = [
            ("Time, s", lambda row: row["seconds"], True),
            ("Peak memory, MB", lambda row: row["peak_megabytes"], True),
            ("KL divergence, nats", lambda row: row["kl_divergence"], False),
        ]
    else:
        sizes = sorted({int(size) for row in rows for size in row["batches"]})
        figures = [
            (f"{size:,} states placed, s", lambda row, s=str(size): row["batches"].get(s, {}).get("seconds"), True)
            for size in sizes
        ] + [
            (f"Recall, {sizes[0]:,} placed", lambda row: row["batches"].get(str(sizes[0]), {}).get("recall"), False)
        ]  # fmt: skip
    figure = make(figsize=(3.5 * len(figures), 3.1), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    lines: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["n"]):
        lines.setdefault(name(row), []).append(row)
    several = len({row["n"] for row in rows}) > 1
    for axes, (title, value, log) in zip(figure.subplots(1, len(figures), squeeze=False)[0], figures, strict=True):
        ends = []
        for label, points in lines.items():
            places = [(row["n"], value(row)) for row in points if value(row) is not None]
            if not places:
                continue
            ours = points[0]["system"] == "hiddenstate"
            colour = _COLOURS[points[0]["system"]]
            axes.plot(
                *zip(*places, strict=True),
                color=colour,
                linewidth=2.2 if ours else 1.3,
                marker="o",
                markersize=5 if ours else 3.5,
                zorder=3 if ours else 2,
                clip_on=False,
            )
            ends.append((*places[-1], label, colour, ours))
        _axes(axes, title, sorted({row["n"] for row in rows}), log, several)
        _labels(figure, axes, ends)
    return figure


def _scatter(make: Any, rows: list[Row]) -> Any:
    """Recall against time, a panel for every number of states."""
    sizes = sorted({row["n"] for row in rows})
    figure = make(figsize=(max(4.6, 4.2 * len(sizes)), 3.3), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    for axes, n in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
        here = [row for row in rows if row["n"] == n]
        for system in dict.fromkeys(row["system"] for row in here):
            points = sorted((row["seconds"], row["recall"]) for row in here if row["system"] == system)
            axes.plot(
                *zip(*points, strict=True),
                color=_COLOURS[system],
                linestyle="-" if system == "faiss" else "none",
                linewidth=1,
                marker="o",
                markersize=5,
                clip_on=False,
            )
        axes.set_xscale("log")
        axes.set_title(f"Recall, {n:,} states", loc="left", fontsize=9, color=_INK)
        axes.set_xlabel("time, s", color=_QUIET)
        _quiet(axes)
        _plain_ticks(axes.xaxis)
        low = min(row["recall"] for row in here)
        axes.set_ylim(low - 0.15 * max(1 - low, 0.002), 1 + 0.02 * max(1 - low, 0.002))
        _labels(
            figure,
            axes,
            [
                (row["seconds"], row["recall"], name(row), _COLOURS[row["system"]], row["system"] == "hiddenstate")
                for row in here
            ],
        )
    return figure


def _axes(axes: Any, title: str, sizes: list[int], log: bool, several: bool) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    axes.set_title(title, loc="left", fontsize=9, color=_INK)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("states", color=_QUIET)
    if not several:
        axes.set_xlim(sizes[0] / 1.3, sizes[0] * 1.3)
    if log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high / low < 10:  # so that there are at least two ticks to read
            axes.set_ylim(low / 1.5, high * 1.5)
        _plain_ticks(axes.yaxis)
    else:
        low, high = axes.get_ylim()
        pad = max(0.25 * (high - low), 0.02 * abs(high))
        axes.set_ylim(max(0.0, low - pad), high + pad)
        axes.yaxis.set_minor_formatter(NullFormatter())
    _quiet(axes)


def _plain_ticks(axis: Any) -> None:
    """Ticks at 1, 2 and 5 in numbers that need no exponent."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 60 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())


def _quiet(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def _labels(figure: Any, axes: Any, ends: list[tuple[Any, ...]]) -> None:
    """The systems' names beside their last points, moved apart where they would touch."""
    figure.draw_without_rendering()
    step = 11.0  # points between two lines of text
    scale = 72.0 / figure.dpi
    ends = sorted(ends, key=lambda end: end[1])
    at = [float(axes.transData.transform((x, y))[1]) * scale for x, y, *_ in ends]
    wanted = list(at)
    for _ in range(200):
        moved = False
        for i in range(len(at) - 1):
            if (gap := at[i + 1] - at[i]) < step - 1e-6:
                at[i] -= (step - gap) / 2
                at[i + 1] += (step - gap) / 2
                moved = True
        if not moved:
            break
    for (x, y, label, colour, ours), place, point in zip(ends, at, wanted, strict=True):
        axes.annotate(
            label,
            (x, y),
            xytext=(8, place - point),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8,
            fontweight="bold" if ours else "normal",
            annotation_clip=False,
        )


def _short(value: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g} {letter}"
    return f"{value:g}"
