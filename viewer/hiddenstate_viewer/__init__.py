"""hiddenstate's viewer: every state a recurrent network passed through, on one linked page.

Importing this package is light; Panel, HoloViews, Datashader and matplotlib are loaded when a function needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hiddenstate_viewer.notebook import Viewer as Viewer
    from hiddenstate_viewer.page import Page as Page
    from hiddenstate_viewer.page import build_page as build_page
    from hiddenstate_viewer.picture import write_picture as write_picture
    from hiddenstate_viewer.report import write_report as write_report
    from hiddenstate_viewer.serve import ViewerServer as ViewerServer
    from hiddenstate_viewer.serve import serve as serve
    from hiddenstate_viewer.serve import start as start

_WHERE = {
    "Page": "page",
    "Viewer": "notebook",
    "build_page": "page",
    "write_picture": "picture",
    "write_report": "report",
    "ViewerServer": "serve",
    "serve": "serve",
    "start": "serve",
}

__all__ = ["Page", "Viewer", "ViewerServer", "build_page", "serve", "start", "write_picture", "write_report"]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
