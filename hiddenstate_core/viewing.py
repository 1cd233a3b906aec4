"""`view` and `report`: the door to the viewer, which is an extra and is imported only here."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hiddenstate_core.errors import InputError, MissingExtraError
from hiddenstate_core.traces.trace import Trace

__all__ = ["ServeOptions", "picture", "report", "view", "viewer_module"]

#: Libraries of the extra. All are looked for at once, since the viewer imports some of them late.
_NEEDED = ("bokeh", "colorcet", "datashader", "holoviews", "matplotlib", "pandas", "panel", "PIL")


@dataclasses.dataclass(frozen=True)
class ServeOptions:
    """How the viewer is served to others; the defaults are for one's own browser.

    Parameters
    ----------
    token : str or None
        What a visitor must have, at least 16 letters, digits and signs of ``. _ ~ -``. Where others than this machine
        can reach the server and none is given, here or in ``HIDDENSTATE_TOKEN``, a random one is made.
    no_token : bool
        Whether anyone who can reach the server may look at everything.
    origins : tuple of str
        ``HOST`` or ``HOST:PORT`` as it stands in the visitors' browsers, for each reverse proxy in front.
    prefix : str
        Path under which a proxy shows the server, such as ``/tools/states``.
    max_sessions : int
        Pages that may be open at once.
    """

    token: str | None = dataclasses.field(default=None, repr=False)
    no_token: bool = False
    origins: tuple[str, ...] = ()
    prefix: str = ""
    max_sessions: int = 64

    def __post_init__(self) -> None:
        if self.max_sessions < 1:
            raise InputError(f"At least one page must be allowed to be open at once, not {self.max_sessions}.")


def viewer_module(name: str) -> ModuleType:
    """Import a module of the viewer, or name the command that installs what it needs.

    Raises
    ------
    MissingExtraError
        The viewer's dependencies are not installed.
    """
    for needed in _NEEDED:
        try:
            found = importlib.util.find_spec(needed) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise MissingExtraError(
                f"The viewer needs {needed!r}, which is not installed; install it with: "
                "python -m pip install 'hiddenstate[viewer]'"
            )
    return importlib.import_module(f"hiddenstate_viewer.{name}")


def view(
    trace: Trace | str | os.PathLike[str] | Sequence[Trace | str | os.PathLike[str]],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    models: Sequence[str | os.PathLike[str]] = (),
    options: ServeOptions | None = None,
    open_browser: bool = True,
) -> Any:
    """Look at a trace: in a notebook, a `hiddenstate_viewer.Viewer`; elsewhere, serve it until interrupted.

    Parameters
    ----------
    trace : Trace, path-like, or several of them
        What to show; several are served at an address each, with a page that lists them.
    host : str
        Address to serve on.
    port : int
        Port to serve on; 0 for any free one.
    models : sequence of path-like
        Checkpoints that recorded the traces, for reading sentences typed in.
    options : ServeOptions, optional
        How it is served to others.
    open_browser : bool
        Whether a browser is opened at the page.

    Raises
    ------
    MissingExtraError
        The viewer is not installed.
    InputError
        No trace, several in a notebook, or an option that cannot be meant.
    HiddenStateError
        A store or checkpoint that cannot be read, or an address that cannot be listened on.
    """
    several = [trace] if isinstance(trace, (Trace, str, os.PathLike)) else list(trace)
    if not several:
        raise InputError("There is no trace to look at; give at least one store.")
    opened = [one if isinstance(one, Trace) else Trace(one) for one in several]
    if _in_notebook():
        if len(opened) > 1:
            raise InputError(f"A notebook shows one trace at a time, not {len(opened)}; call view for each.")
        return viewer_module("notebook").Viewer(opened[0], model=models[0] if models else None)
    serve = viewer_module("serve").serve
    serve(
        [Path(one.path) for one in opened],
        host=host,
        port=port,
        models=models,
        options=options,
        open_browser=open_browser,
        on_ready=functools.partial(_say_address, origins=() if options is None else options.origins),
    )
    return None


def report(
    trace: Trace | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    sequence: int | None = None,
    projection: str | None = None,
    dark: bool = False,
) -> None:
    """Write the page of one sequence as a standalone HTML file that needs no network.

    Parameters
    ----------
    trace : Trace or path-like
        What to show.
    path : path-like
        Where to write.
    sequence : int, optional
        Which sequence; by default one whose prediction turns on the way.
    projection : str, optional
        Which projection; by default t-SNE's, or the first there is.
    dark : bool
        Whether on a dark ground.

    Raises
    ------
    InputError
        A sequence or projection that does not exist.
    MissingExtraError
        The viewer is not installed.
    """
    opened = trace if isinstance(trace, Trace) else Trace(trace)
    viewer_module("report").write_report(opened, path, sequence=sequence, projection=projection, dark=dark)


def picture(
    trace: Trace | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    view: str = "all",
    sequence: int | None = None,
    projection: str | None = None,
    colour_by: str = "prediction",
    dark: bool = False,
) -> None:
    """Write a view as a picture for a paper; needs no browser.

    Parameters
    ----------
    trace : Trace or path-like
        What to show.
    path : path-like
        Where to write; ``.png``, ``.svg`` and ``.pdf`` say what.
    view : str
        ``"map"``, ``"words"``, ``"probabilities"``, ``"distances"``, ``"classes"``, ``"confusion"``, or ``"all"``: one
        sequence's views on one sheet.
    sequence, projection
        As for `report`.
    colour_by : str
        What colours the states of the map: ``"prediction"``, ``"class"``, ``"confidence"``, ``"unit:7"``... (see
        `hiddenstate_core.analysis.available`).
    dark : bool
        Whether on a dark ground.

    Raises
    ------
    InputError
        A view, format, sequence, projection or colouring that does not exist.
    MissingExtraError
        The viewer is not installed.
    """
    opened = trace if isinstance(trace, Trace) else Trace(trace)
    viewer_module("picture").write_picture(
        opened, path, view=view, sequence=sequence, projection=projection, colour_by=colour_by, dark=dark
    )


def _in_notebook() -> bool:
    # Where IPython has not been imported, this is no notebook.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _say_address(address: str, origins: Sequence[str] = ()) -> None:
    print(f"Serving at {address} (Ctrl-C stops)", flush=True)
    for origin in origins:
        # Whether the proxy speaks http or https is its own affair: what was given is shown.
        print(f"Through the proxy: {origin.strip().rstrip('/')}/{address.split('/', 3)[3]}", flush=True)
