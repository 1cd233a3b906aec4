"""`view` and `report`: the door to the viewer, which is an extra and is imported only here."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from hiddenstate_core.errors import MissingExtraError
from hiddenstate_core.traces.trace import Trace

__all__ = ["picture", "report", "view", "viewer_module"]

#: Libraries of the extra. All are looked for at once, since the viewer imports some of them late.
_NEEDED = ("bokeh", "colorcet", "datashader", "holoviews", "matplotlib", "pandas", "panel", "PIL")


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
    trace: Trace | str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = True,
) -> Any:
    """Look at a trace: in a notebook, the page itself; elsewhere, serve it until interrupted.

    Parameters
    ----------
    trace : Trace or path-like
        What to show.
    host : str
        Address to serve on.
    port : int
        Port to serve on; 0 for any free one.
    open_browser : bool
        Whether a browser is opened at the page.

    Raises
    ------
    MissingExtraError
        The viewer is not installed.
    """
    opened = trace if isinstance(trace, Trace) else Trace(trace)
    if _in_notebook():
        return viewer_module("page").build_page(opened)
    serve = viewer_module("serve").serve
    serve(opened.path, host=host, port=port, open_browser=open_browser, on_ready=_say_address)
    return None


def report(
    trace: Trace | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    sequence: int | None = None,
    projection: str | None = None,
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
        Which projection; by default the first there is.
    """
    opened = trace if isinstance(trace, Trace) else Trace(trace)
    viewer_module("report").write_report(opened, path, sequence=sequence, projection=projection)


def picture(
    trace: Trace | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    sequence: int | None = None,
    projection: str | None = None,
) -> None:
    """Write the same as `report` as a PNG; needs no browser. Parameters as there."""
    opened = trace if isinstance(trace, Trace) else Trace(trace)
    viewer_module("picture").write_picture(opened, path, sequence=sequence, projection=projection)


def _in_notebook() -> bool:
    # Where IPython has not been imported, this is no notebook.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _say_address(address: str) -> None:
    print(f"Serving at {address} (Ctrl-C stops)", flush=True)
