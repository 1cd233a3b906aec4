"""The stores that a server shows: opened in the background, looked at anew for every visitor, never trusted to last."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from hiddenstate_core.errors import HiddenStateError, InputError
from hiddenstate_core.models import Model
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.data import ViewData, unfit

__all__ = ["Catalogue", "Served", "unique_names"]

_log = logging.getLogger("hiddenstate.viewer")


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A name for each store that is safe in an address and unlike the others', from the name of its folder."""
    names: list[str] = []
    for path in paths:
        stem = path.name[: -len(".zarr")] if path.name.lower().endswith(".zarr") else path.name
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:60] or "store"
        name, count = plain, 1
        while name.lower() in {n.lower() for n in names}:
            count += 1
            name = f"{plain}-{count}"
        names.append(name)
    return names


class Served:
    """One store, and what is known of it now.

    Parameters
    ----------
    name : str
        Its name in addresses.
    path : Path
        Where it lies.
    models : dict
        Where the checkpoints lie, by fingerprint.

    Attributes
    ----------
    problem : str or None
        Why it cannot be shown, in one sentence.

    Raises
    ------
    HiddenStateError
        There is no trace store at `path`.
    """

    def __init__(self, name: str, path: Path, models: dict[str, Path]) -> None:
        self.name, self.path = name, path
        self.problem: str | None = None
        trace = Trace(path)
        self.recorded_by = _recorder(trace)
        #: Why its kind cannot be shown at all, in the words for whoever starts the server.
        self.unfit: str | None = None
        with contextlib.suppress(HiddenStateError):  # damaged: its page says so, and comes back once it is whole
            self.unfit = unfit(trace)
        self._models = models
        self._lock = threading.Lock()
        self._under_way: Future[None] | None = None
        self._signature: str | None = None
        self._data: ViewData | None = None

    @property
    def data(self) -> ViewData | None:
        """What sessions share of it; None while it is not open or has a problem."""
        return None if self.problem is not None else self._data

    def look(self) -> Future[None]:
        """See in a thread whether the store is still what was opened, and open it if not; one look at a time."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                arguments = (self._under_way,)
                threading.Thread(target=self._look, args=arguments, name=f"open-{self.name}", daemon=True).start()
            return self._under_way

    async def settle(self, seconds: float) -> bool:
        """Look, and wait for the outcome at most so long; returns whether there is one."""
        future = asyncio.wrap_future(self.look())
        done, _ = await asyncio.wait({future}, timeout=seconds)
        return bool(done)

    def _look(self, future: Future[None]) -> None:
        try:
            self._refresh()
        except HiddenStateError as error:
            self.problem = self._sentence(str(error))
        except Exception as error:  # whatever a damaged store makes its readers do, the server lives on
            _log.warning("%s cannot be opened", self.path, exc_info=True)
            kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self.problem = self._sentence(f"{self.path} cannot be read ({kind}); see `hiddenstate verify` for where.")
        finally:
            future.set_result(None)

    def _refresh(self) -> None:
        signature = _signature(self.path)
        if signature is None:
            self.problem = f"{self.path.name} is not there any more; put it back and load this page again."
            return
        if signature == self._signature and self._data is not None:
            self.problem = None
            return
        trace = Trace(self.path)
        data = ViewData(trace, model=self._models.get(_recorder(trace)))
        data.check()
        if _signature(self.path) != signature:  # written to meanwhile; the next look sees what it has become
            signature = None
        self._signature, self._data, self.problem = signature, data, None

    def _sentence(self, message: str) -> str:
        # Visitors need not learn where on the disk the store lies.
        return re.sub(r"\s+", " ", message.replace(f"{self.path.parent}{os.sep}", "")).strip()

    def describe(self) -> tuple[str, str]:
        """How much it holds, and of what; for the list of stores."""
        data = self.data
        if data is None:
            return "", self.problem or "is being opened; load this page again in a moment."
        trace = data.trace
        size = f"{len(trace):,} sequences, {trace.steps:,} states"
        classes = list(trace.classes)
        named = ", ".join(classes[:5]) + (f" and {len(classes) - 5} more" if len(classes) > 5 else "")
        units = " + ".join(str(n) for n in trace.layers)
        parts = [f"{len(classes)} classes: {named}" if classes else trace.task.replace("_", " "), f"{units} units"]
        parts.append(f"projections: {', '.join(trace.projections)}" if trace.projections else "no projection yet")
        if _recorder(trace) in self._models:
            parts.append("reads typed sentences")
        return size, " · ".join(parts)


class Catalogue:
    """All stores of a server.

    Parameters
    ----------
    stores : sequence of path-like
        At least one.
    models : sequence of path-like
        Checkpoints; each must have recorded at least one of the stores.
    warm : callable, optional
        Called in the background with the `ViewData` of each store once it is open.

    Raises
    ------
    InputError
        No store, none that holds class probabilities, or a checkpoint that recorded none of them.
    HiddenStateError
        A store or a checkpoint that cannot be read.
    """

    def __init__(
        self,
        stores: Sequence[str | os.PathLike[str]],
        models: Sequence[str | os.PathLike[str]] = (),
        warm: Callable[[ViewData], None] | None = None,
    ) -> None:
        if not stores:
            raise InputError("There is nothing to serve; give at least one store.")
        paths = [Path(store) for store in stores]
        loaded: dict[str, Path] = {}
        names = unique_names([_absolute(path) for path in paths])
        self.served = [Served(name, path, loaded) for name, path in zip(names, paths, strict=True)]
        out = [one.unfit for one in self.served if one.unfit is not None]
        if len(out) == len(self.served):
            raise InputError(" ".join(out))
        for sentence in out:
            _log.warning("Left out: %s", sentence)
        for model in models:
            found = Model.load(model)
            if all(one.recorded_by != found.fingerprint for one in self.served):
                given = ", ".join(str(path) for path in paths)
                raise InputError(
                    f"The checkpoint {os.fspath(model)} recorded none of the stores ({given}); give the one that did, "
                    f"or leave it out. Its fingerprint is {found.fingerprint[:12]}."
                )
            loaded[found.fingerprint] = Path(model)
        self._warm = warm
        self._ready = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._open, name="open-stores", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether every store was opened or found to be damaged, and what compiles on first use has been compiled."""
        return self._ready.is_set()

    def open(self) -> None:
        """Begin to open the stores, in a thread."""
        self._thread.start()

    def close(self, seconds: float = 10.0) -> None:
        """Wait for what is being read, at most so long; nothing further is begun."""
        self._ending.set()
        deadline = time.monotonic() + seconds
        if self._thread.is_alive():
            self._thread.join(seconds)
        for one in self.served:
            with contextlib.suppress(TimeoutError):
                if one._under_way is not None:
                    one._under_way.result(max(0.0, deadline - time.monotonic()))

    def _open(self) -> None:
        for one in self.served:
            if self._ending.is_set():
                return
            one.look().result()
            if one.data is not None and self._warm is not None and not self._ending.is_set():
                try:
                    self._warm(one.data)
                except Exception:  # the page says what is wrong when it meets it
                    _log.warning("%s could not be drawn in advance", one.path, exc_info=True)
        self._ready.set()


def _absolute(path: Path) -> Path:
    # The name of "." or "store/.." is that of the folder it stands for.
    return path.resolve() if path.name in ("", ".", "..") else path


def _recorder(trace: Trace) -> str:
    model: Any = trace.attributes.get("model")
    return str(model.get("fingerprint", "")) if isinstance(model, dict) else ""


def _signature(path: Path) -> str | None:
    """A digest of what a recording and its projections lie in: names, sizes, times, and which folder it is.

    None where there is none. What is computed from them and kept beside them (analyses, neighbours, spatial orders) is
    left out: the server writes some of it itself.
    """
    try:
        root = path.stat()
    except OSError:
        return None
    digest = hashlib.blake2b(f"{root.st_dev} {root.st_ino}".encode(), digest_size=16)
    pending: list[tuple[Path, tuple[str, ...]]] = [(path, ())]
    while pending:
        folder, below = pending.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
                for entry in found:
                    place = (*below, entry.name)
                    if entry.is_dir():
                        if _matters(place):
                            pending.append((Path(entry.path), place))
                    else:
                        of = entry.stat()
                        text = f"{'/'.join(place)} {of.st_size} {of.st_mtime_ns}\n"
                        digest.update(text.encode("utf-8", "replace"))
        except FileNotFoundError:
            continue
    return digest.hexdigest()


def _matters(place: tuple[str, ...]) -> bool:
    if place[0].startswith(".") or place[0] in ("analysis", "neighbors"):
        return False
    return place[0] != "projections" or len(place) < 3 or place[2] == "coordinates"
