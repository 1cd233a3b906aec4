"""Results as text: the columns of every benchmark, a table on the terminal, one in Markdown, and the ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.results import Row
from benchmarks.systems import SYSTEMS

__all__ = ["columns", "markdown", "name", "ratios", "seconds", "show"]

Column = tuple[str, Callable[[Row], str]]


def name(row: Row) -> str:
    """System, with its variant."""
    title = SYSTEMS[row["system"]].title
    if row.get("variant"):
        title += (" nprobe " if row["system"] == "faiss" else " ") + row["variant"]
    if row.get("settings", {}).get("options"):
        title += " " + " ".join(f"{k}={v}" for k, v in row["settings"]["options"].items())
    return title + (", cold start" if row["start"] == "cold" else "")


def columns(benchmark: str, rows: list[Row], *, versions: bool = False) -> list[Column]:
    """Heading and text of every column."""
    first: list[Column] = [
        ("states", lambda row: f"{row['n']:,}"),
        ("system", lambda row: f"{name(row)} {row['version']}" if versions else name(row)),
    ]
    times: list[Column] = [
        ("seconds", lambda row: seconds(row["seconds"])),
        ("least to most", _spread),
        ("fit alone", lambda row: seconds(row["fit_seconds"])),
    ]
    memory: list[Column] = [("peak MB", lambda row: f"{row['peak_megabytes']:,.0f}")]
    if benchmark == "tsne":
        own: list[Column] = [
            ("iterations", lambda row: f"{row['iterations']:,}"),
            ("KL", lambda row: "not finite" if row["kl_divergence"] is None else f"{row['kl_divergence']:.4f}"),
        ]
    elif benchmark == "neighbors":
        own = [("recall", lambda row: f"{row['recall']:.4f}")]
    else:
        times = [
            ("fit", lambda row: seconds(row["fit_seconds"])),
            ("first", lambda row: seconds(row["first_seconds"])),
        ]
        own = []
        for size in sorted({int(s) for row in rows for s in row.get("batches", {})}):
            own += [
                (f"{size:,} placed", lambda row, s=str(size): _batch(row, s, "seconds")),  # type: ignore[misc]
                (f"recall of {size:,}", lambda row, s=str(size): _batch(row, s, "recall")),  # type: ignore[misc]
            ]
        own.append(("of the map", lambda row: f"{row['map_recall']:.3f}"))
    return first + times + own + memory


def show(benchmark: str, title: str, rows: list[Row]) -> None:
    """Print the table and the ratios."""
    table = Table(title=title)
    heads = columns(benchmark, rows)
    for head, _ in heads:
        table.add_column(head, justify="left" if head == "system" else "right")
    for row in _ordered(rows):
        table.add_row(*_cells(heads, row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(f"{row['n']:,} states, {name(row)} failed: {row['error']}", highlight=False, markup=False)
    for line in ratios(benchmark, rows):
        console.print(line, highlight=False)


def markdown(benchmark: str, rows: list[Row]) -> str:
    """The table in Markdown; numbers align right."""
    heads = columns(benchmark, rows, versions=True)
    lines = [
        "| " + " | ".join(head for head, _ in heads) + " |",
        "|" + "|".join(" :--- " if head == "system" else " ---: " for head, _ in heads) + "|",
    ]
    return "\n".join(lines + ["| " + " | ".join(_cells(heads, row)) + " |" for row in _ordered(rows)])


def ratios(benchmark: str, rows: list[Row]) -> list[str]:
    """hiddenstate, as it comes, beside each peer on the same states, a line each."""
    rows = [row for row in _ordered(rows) if "error" not in row]
    lines = []
    for peer in rows:
        if peer["system"] == "hiddenstate":
            continue
        for ours in rows:
            shared = ("n", "states", "threads", "start")
            mine = ours["system"] == "hiddenstate" and ours.get("variant") in (None, "auto")
            if mine and all(ours[k] == peer[k] for k in shared) and _alike(ours, peer):
                parts = _parts(benchmark, ours, peer)
                lines.append(f"{peer['n']:,} states, {name(ours)} beside {name(peer)}: {'; '.join(parts)}.")
    return lines


def _parts(benchmark: str, ours: Row, peer: Row) -> list[str]:
    if benchmark == "placement":
        return [
            f"{int(size):,} placed {_faster(batch['seconds'], peer['batches'][size]['seconds'])}, "
            f"recall {batch['recall']:.3f} against {peer['batches'][size]['recall']:.3f}"
            for size, batch in ours["batches"].items()
        ]
    parts = [
        _faster(ours["seconds"], peer["seconds"]),
        f"{ours['peak_megabytes'] / peer['peak_megabytes']:.2f} of the memory",
    ]
    if benchmark == "neighbors":
        parts.append(f"recall {ours['recall']:.4f} against {peer['recall']:.4f}")
    elif ours["kl_divergence"] is not None and peer["kl_divergence"] is not None:
        change = 100 * (ours["kl_divergence"] / peer["kl_divergence"] - 1)
        parts.append(f"KL {abs(change):.1f} % {'lower' if change < 0 else 'higher'}")
    return parts


def _alike(ours: Row, peer: Row) -> bool:
    """Same perplexity, k and batches: whatever both have but our own options."""
    return {k: v for k, v in ours["settings"].items() if k != "options"} == peer["settings"]


def _faster(ours: float, peer: float) -> str:
    quick, slow = min(ours, peer), max(ours, peer)
    times = f"({seconds(ours)} s against {seconds(peer)} s)"
    if slow / quick < 1.05:
        return f"as fast {times}"
    return f"{slow / quick:.1f} times {'faster' if ours <= peer else 'slower'} {times}"


def _ordered(rows: Iterable[Row]) -> list[Row]:
    order = list(SYSTEMS)
    return sorted(rows, key=lambda row: (row["n"], row["start"] == "cold", order.index(row["system"])))


def _cells(heads: list[Column], row: Row) -> list[str]:
    if "error" in row:
        return [text(row) for _, text in heads[:2]] + ["failed"] + [""] * (len(heads) - 3)
    return [text(row) for _, text in heads]


def _spread(row: Row) -> str:
    return " to ".join(seconds(s) for s in row["seconds_spread"]) if row["repeats"] > 1 else ""


def _batch(row: Row, size: str, figure: str) -> str:
    batch: dict[str, Any] | None = row["batches"].get(size)
    if batch is None:
        return ""
    return f"{seconds(batch['seconds'])} s" if figure == "seconds" else f"{batch['recall']:.3f}"


def seconds(value: float) -> str:
    """A time in three figures."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
