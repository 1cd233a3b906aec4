"""Puts results files into the page on performance: tables, ratios and pictures, between markers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import plot, results, stages, tables, viewer, whole
from benchmarks.catalogue import BENCHMARKS
from benchmarks.results import Row
from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import InputError

__all__ = ["insert"]


def insert(files: Iterable[Path], page: Path) -> list[Path]:
    """Fill the page with what the files hold; what it holds of benchmarks without a file stays.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        A file or page that cannot be read, or a page without markers.
    """
    told = [results.read(path) for path in files]
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{page} cannot be read: {error.strerror or error}.") from error
    written = [page]
    for benchmark in BENCHMARKS:
        groups = _groups([one for one in told if one["benchmark"] == benchmark])
        if not groups:
            continue
        parts = []
        for number, group in enumerate(groups):
            picture = page.parent / "pictures" / f"performance-{benchmark}{f'-{number + 1}' if number else ''}.svg"
            parts.append(_section(benchmark, group, picture, page.parent))
            if any("error" not in row for row in group["rows"]):
                plot.draw(benchmark, group["rows"], picture)
                written.append(picture)
        text = _between(text, benchmark, "\n\n".join(parts), page)
    for benchmark, section in (("whole", whole.section), ("stages", stages.section), ("viewer", viewer.section)):
        parts = [section(one) for one in told if one["benchmark"] == benchmark]
        if parts:
            text = _between(text, benchmark, "\n\n".join(parts), page)
    write_text(page, text)
    return written


def _groups(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Files of the same machine and states as one; of a row that stands in several, the last counts."""
    groups: dict[str, dict[str, Any]] = {}
    for one in told:
        machine = {k: one["machine"].get(k) for k in ("processor", "cores", "system", "python")}
        key = json.dumps([machine, one["states"]], sort_keys=True)
        if key not in groups:
            groups[key] = {**one, "rows": []}
        merged = results.Results(one["benchmark"], one["states"], None, one["machine"], groups[key]["rows"])
        for row in one["rows"]:
            merged.add(row)
        groups[key]["rows"] = merged.rows
    return list(groups.values())


def _section(benchmark: str, group: dict[str, Any], picture: Path, folder: Path) -> str:
    rows: list[Row] = group["rows"]
    machine = group["machine"]
    memory = machine.get("memory_gigabytes")
    threads = sorted({row["threads"] for row in rows})
    settings: dict[str, Any] = rows[0]["settings"] if rows else {}
    told = [f"{key} {_value(value)}" for key, value in settings.items() if value and key != "options"]
    lines = [
        f"{machine['processor']}, {' or '.join(map(str, threads))} cores used"
        + (f", {memory:g} GB of memory" if memory else "")
        + f"; Python {machine['python']}. States: {group['states']}; {', '.join(told)}."
    ]
    if benchmark == "tsne":
        lines.append(_judges(rows))
    if any("error" not in row for row in rows):
        title = BENCHMARKS[benchmark].title
        lines += ["", f"![{title}: figures of the table below]({picture.relative_to(folder).as_posix()})"]
    lines += ["", tables.markdown(benchmark, rows)]
    compared = tables.ratios(benchmark, rows)
    if compared:
        lines += ["", *(f"- {line}" for line in compared)]
    return "\n".join(lines)


def _judges(rows: list[Row]) -> str:
    """What the maps were judged by."""
    parts = []
    for n in sorted({row["n"] for row in rows}):
        judge = next((row["judge"] for row in rows if row["n"] == n and "judge" in row), None)
        if judge is not None:
            found = "exact" if judge["neighbors"] == "exact" else f"{judge['recall']:.2%} of the exact"
            parts.append(f"{n:,} states by affinities over {found} neighbours")
    return f"Judged: {'; '.join(parts)}." if parts else ""


def _value(value: Any) -> str:
    return " and ".join(f"{one:,}" for one in value) if isinstance(value, list) else f"{value:g}"


def _between(text: str, benchmark: str, content: str, page: Path) -> str:
    begin, end = f"<!-- {benchmark}: begin -->", f"<!-- {benchmark}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise InputError(f"{page} needs one line {begin} and after it one line {end}.")
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"
