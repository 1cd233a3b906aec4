"""Results as a picture: time, memory and quality along the number of states, or as dots in rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import Row
from benchmarks.tables import name, seconds
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
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.labelsize": 8,
        "svg.hashsalt": "hiddenstate",  # without it the same picture differs from run to run
        "axes.edgecolor": _QUIET,
        "axes.linewidth": 0.6,
        "xtick.color": _QUIET,
        "ytick.color": _QUIET,
        "text.color": _INK,
    }
    with matplotlib.rc_context(style):
        along = benchmark != "neighbors" and len({row["n"] for row in rows}) > 1
        figure = (_lines if along else _dots)(Figure, benchmark, rows)
        with atomic_path(target) as temporary:
            figure.savefig(
                temporary,
                format=target.suffix[1:],
                dpi=144,
                metadata={"Date": None} if target.suffix == ".svg" else {"Software": None},
            )


class _Figure(NamedTuple):
    """One panel: its title, the figure of a row, whether its axis is logarithmic, and how to write a value."""

    title: str
    value: Callable[[Row], float | None]
    log: bool
    text: Callable[[float], str]


def _figures(benchmark: str, rows: list[Row]) -> list[_Figure]:
    time = _Figure("Time, s", lambda row: row["seconds"], True, seconds)
    memory = _Figure("Peak memory, MB", lambda row: row["peak_megabytes"], True, lambda value: f"{value:,.0f}")
    if benchmark == "tsne":
        return [time, memory, _Figure("KL divergence, nats", lambda row: row["kl_divergence"], False, "{:.3f}".format)]
    if benchmark == "neighbors":
        return [time, memory, _Figure("Recall", lambda row: row["recall"], False, "{:.4f}".format)]
    sizes = sorted({int(size) for row in rows for size in row["batches"]})
    figures = [_Figure(f"{size:,} placed, s", _of_batch(size, "seconds"), True, seconds) for size in sizes]
    return [*figures, _Figure(f"Recall of {sizes[-1]:,}", _of_batch(sizes[-1], "recall"), False, "{:.3f}".format)]


def _of_batch(size: int, figure: str) -> Callable[[Row], float | None]:
    return lambda row: row["batches"].get(str(size), {}).get(figure)


def _lines(make: Any, benchmark: str, rows: list[Row]) -> Any:
    """Small multiples over the number of states, a line a system."""
    figures = _figures(benchmark, rows)
    sizes = sorted({row["n"] for row in rows})
    figure = make(figsize=(3.5 * len(figures), 3.1), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    lines: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["n"]):
        lines.setdefault(name(row), []).append(row)
    panels = zip(figure.subplots(1, len(figures), squeeze=False)[0], figures, strict=True)
    for at, (axes, (title, value, log, _)) in enumerate(panels):
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
        _axes(axes, title, sizes, log)
        _labels(figure, axes, [end for end in ends if at == 0 or end[0] == sizes[-1]], sizes[-1])
    return figure


def _dots(make: Any, benchmark: str, rows: list[Row]) -> Any:
    """A line of text a system and a dot a figure, for what has no axis of states to run along."""
    sizes = sorted({row["n"] for row in rows})
    figures = _figures(benchmark, rows)
    counts = [sum(1 for row in rows if row["n"] == n) for n in sizes]
    figure = make(figsize=(1.6 + 2.5 * len(figures), 0.3 + sum(0.45 + 0.27 * c for c in counts)), layout="constrained")
    grid = figure.subplots(len(sizes), len(figures), squeeze=False, height_ratios=[c + 1 for c in counts])
    for n, line in zip(sizes, grid, strict=True):
        here = sorted((row for row in rows if row["n"] == n), key=lambda row: figures[0].value(row) or 0.0)
        for at, (axes, one) in enumerate(zip(line, figures, strict=True)):
            title = f"{n:,} states: {one.title[0].lower()}{one.title[1:]}" if at == 0 else one.title
            axes.set_title(title, loc="left", fontsize=9, color=_INK)
            _row_of_dots(axes, one, here, named=at == 0)
    return figure


def _row_of_dots(axes: Any, one: _Figure, rows: list[Row], *, named: bool) -> None:
    values = [one.value(row) for row in rows]
    known = [value for value in values if value is not None]
    if one.log:
        axes.set_xscale("log")
    if known:
        low, high = min(known), max(known)
        span = max(high / low, 1.5) if one.log else max(high - low, 0.02 * abs(high), 1e-9)
        if one.log:
            axes.set_xlim(low / span**0.08, high * span**0.45)  # room for the number beside the last dot
        else:
            axes.set_xlim(low - 0.08 * span, high + 0.45 * span)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [name(row) for row in rows] if named else [""] * len(rows))
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for at, (row, value) in enumerate(zip(rows, values, strict=True)):
        colour, weight = _COLOURS[row["system"]], "bold" if row["system"] == "hiddenstate" else "normal"
        if named:
            axes.get_yticklabels()[at].set(color=colour, fontweight=weight)
        if value is None:
            continue
        axes.plot([value], [at], marker="o", markersize=6, color=colour, clip_on=False)
        axes.annotate(
            one.text(value),
            (value, at),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            fontweight=weight,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )


def _axes(axes: Any, title: str, sizes: list[int], log: bool) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    axes.set_title(title, loc="left", fontsize=9, color=_INK)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("states", color=_QUIET)
    if log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(low / 1.15, high * 1.15)
        _plain_ticks(axes.yaxis)
    else:
        low, high = axes.get_ylim()
        pad = max(0.25 * (high - low), 0.02 * abs(high))
        axes.set_ylim(max(0.0, low - pad), high + pad)
        axes.yaxis.set_minor_formatter(NullFormatter())
    _quiet(axes)


def _plain_ticks(axis: Any) -> None:
    """Few ticks, at round numbers that need no exponent, and the axis long enough to hold two."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = axis.get_view_interval()
    subs = (1, 10) if high / low > 60 else (1, 2, 5, 10) if high / low > 4 else (1, 1.5, 2, 3, 4, 5, 7, 10)
    ticks = sorted({sub * 10.0**power for power in range(-4, 9) for sub in subs})
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) < 2:
        inside = [max(t for t in ticks if t <= max(low, ticks[0])), min(t for t in ticks if t >= min(high, ticks[-1]))]
        axis.axes.set_ylim(min(low, inside[0]), max(high, inside[-1]))
    axis.set_major_locator(FixedLocator(inside))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())


def _quiet(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def _labels(figure: Any, axes: Any, ends: list[tuple[Any, ...]], last: int) -> None:
    """The systems' names: right of the lines that reach the last number of states, above the end of the others.

    A line that ends early stands among others, so it is named in the first panel alone; the rest have its colour.
    """
    figure.draw_without_rendering()
    scale = 72.0 / figure.dpi
    right = sorted((end for end in ends if end[0] == last), key=lambda end: end[1])
    wanted = [float(axes.transData.transform(end[:2])[1]) * scale for end in right]
    shifts = dict(zip(right, (at - want for at, want in zip(_apart(wanted), wanted, strict=True)), strict=True))
    first = axes.get_xlim()[0]
    for end in ends:
        x, y, label, colour, ours = end
        beside = end in shifts
        leftmost = axes.transData.transform((x, y))[0] - axes.transData.transform((first, y))[0] < 40
        axes.annotate(
            label,
            (x, y),
            xytext=(8, shifts[end]) if beside else (-3 if leftmost else 0, 9),
            textcoords="offset points",
            ha="left" if beside or leftmost else "center",
            va="center",
            color=colour,
            fontsize=8,
            fontweight="bold" if ours else "normal",
            annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.2},
            zorder=5,
        )


def _apart(places: list[float], step: float = 11.0) -> list[float]:
    """Ascending places, moved as little as makes them `step` points apart."""
    at = list(places)
    for _ in range(200):
        moved = False
        for i in range(len(at) - 1):
            if (gap := at[i + 1] - at[i]) < step - 1e-6:
                at[i] -= (step - gap) / 2
                at[i + 1] += (step - gap) / 2
                moved = True
        if not moved:
            break
    return at


def _short(value: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g} {letter}"
    return f"{value:g}"
