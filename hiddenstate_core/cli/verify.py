"""`hiddenstate verify`: check a trace store against its recorded checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate_core.cli.common import say, size_of
from hiddenstate_core.errors import StoreNotFoundError
from hiddenstate_core.progress import progress_bar

__all__ = ["command"]


def command(
    store: Annotated[Path, typer.Argument(help="A trace store, or where one is being recorded.")],
) -> None:
    """Check every file of a trace store, and say which sequences are damaged. Exit code 1 where something is wrong."""
    from hiddenstate_core.traces.verify import verify
    from hiddenstate_core.traces.writer import partial_of

    folder = store if store.exists() else partial_of(store)
    if not folder.is_dir():
        raise StoreNotFoundError(f"There is no trace store at {store}.")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with progress_bar("Checking", size, show=True) as advance:
        found = verify(store, advance=advance)
    for damage in found.damage:
        say(f"{damage.path} {damage.reason}{_rows(damage.steps)}")
    if found.sequences:
        say(f"Damaged sequences ({len(found.sequences):,}): {_numbers(found.sequences)}")
    if found.unfinished is not None:
        done, shards = found.unfinished
        what = f"{done:,} of {shards:,} shards are done"
        say(f"The recording is not finished: {what}; run the same `hiddenstate extract` again.")
    if not found.damage and found.files:
        what = (
            "files are as they were written" if found.checksums else "arrays can be read (the store has no checksums)"
        )
        say(f"{found.files:,} {what}, {size_of(found.size)}")
    if found.damage:
        how = "" if found.unfinished else " --overwrite"
        say(f"Copy the store again, or record what is damaged again: the same `hiddenstate extract`{how}.")
    if not found.intact:
        raise typer.Exit(1)


def _rows(steps: tuple[tuple[int, int], ...]) -> str:
    return ": steps " + ", ".join(f"{low:,}-{high - 1:,}" for low, high in steps[:5]) if steps else ""


def _numbers(sequences: tuple[int, ...], most: int = 20) -> str:
    """Numbers with runs drawn together, such as ``3-7, 12``."""
    runs: list[list[int]] = []
    for sequence in sequences:
        if runs and sequence == runs[-1][1] + 1:
            runs[-1][1] = sequence
        else:
            runs.append([sequence, sequence])
    text = [str(low) if low == high else f"{low}-{high}" for low, high in runs[:most]]
    return ", ".join(text) + (f" and {len(runs) - most} more runs" if len(runs) > most else "")
