"""Where a store is to be made: the lock that keeps a second writer out, and the check of what lies there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hiddenstate_core.errors import InputError, StoreError
from hiddenstate_core.traces.schema import FORMAT, SCHEMA
from hiddenstate_core.traces.writer import sweep

__all__ = ["check_target", "locked"]


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the right to write the store at `target`; a second process is refused.

    The lock is the operating system's, on a file beside the store, so it ends with its process however that ends.

    Raises
    ------
    InputError
        A path without a name, or one inside another store.
    StoreError
        Another process is writing this store.
    """
    if not target.name or target.name == "..":
        raise InputError(f"A store needs a name of its own, such as trace.zarr; {str(target)!r} has none.")
    for folder in target.absolute().parents:
        if (folder / "zarr.json").is_file():
            raise InputError(f"{target} would lie inside the Zarr store {folder}; choose another path.")
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    path = target.with_name(f".{target.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle: IO[str] = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The store {target} cannot be written: {error.strerror or error}.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise StoreError(
                f"Another process ({owner}) is recording into {target}; wait for it, or choose another path."
            ) from error
        try:
            same = os.path.samestat(os.fstat(handle.fileno()), path.stat())
        except FileNotFoundError:
            same = False
        if not same:  # the former owner removed the file between our opening it and locking it
            raise StoreError(f"Another process was recording into {target} just now; run the same command again.")
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def check_target(target: Path, fingerprint: str, *, overwrite: bool) -> bool:
    """Whether `target` already is this very recording; refuse to replace anything that is not a trace store.

    With `overwrite`, a recording that is damaged does not count: it is made again.

    Raises
    ------
    StoreError
        Another recording lies there and `overwrite` is False.
    InputError
        Something that is not a trace store lies there.
    """
    old = target.with_name(f"{target.name}.replaced")
    if old.exists() and not target.exists():
        # A process died between the two renames of `Writer.finish`: the former store is still whole.
        old.replace(target)
    if not target.exists():
        return False
    try:
        attributes = json.loads((target / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        found = attributes["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        found = False
    if not found:
        raise InputError(f"{target} exists and is not a trace store; choose another path.")
    if attributes.get("fingerprint") == fingerprint and attributes.get("schema") == SCHEMA:
        sweep(target)
        return not overwrite or _is_whole(target)
    if not overwrite:
        raise StoreError(
            f"{target} holds another recording (fingerprint {str(attributes.get('fingerprint'))[:12]}, this one is "
            f"{fingerprint[:12]}): its model, vocabulary, corpus or "
            "options differ. Pass overwrite (--overwrite) to replace it, or choose another path."
        )
    return False


def _is_whole(target: Path) -> bool:
    """Whether the recording in a store is as it was written; what was added later does not count."""
    from hiddenstate_core.traces.verify import verify

    try:
        return not any(not found.path.startswith(("projections/", "analysis/")) for found in verify(target).damage)
    except StoreError:
        return False
