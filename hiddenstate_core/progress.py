"""Progress bars on standard error, through rich; silent where standard error is not a terminal or none is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

__all__ = ["Advance", "progress_bar"]

#: Called as ``advance(amount, note="...")``: moves the bar by `amount` and shows `note` beside it.
Advance = Callable[..., None]


@contextlib.contextmanager
def progress_bar(title: str, total: float | None, *, show: bool = True) -> Iterator[Advance]:
    """Show a bar titled `title` until the block ends; yields the function that advances it.

    Parameters
    ----------
    title : str
        What is being done, in a few words.
    total : float or None
        Amount at which the bar is full; None where it is not known.
    show : bool
        False for no output at all.
    """
    if not show:
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _ignore
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, note="")

        def advance(amount: float = 1.0, note: str | None = None) -> None:
            if note is None:
                bar.update(task, advance=amount)
            else:
                bar.update(task, advance=amount, note=note)

        yield advance


def _ignore(amount: float = 1.0, note: str | None = None) -> None:
    return None
