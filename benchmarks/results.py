"""The results file: written after every row, so that a run that dies can go on where it stopped."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks import machine
from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import InputError

__all__ = ["KEY", "SCHEMA", "Results", "read"]

SCHEMA = 1
#: What two rows must share to be the same measurement.
KEY = ("system", "variant", "version", "source", "n", "states", "threads", "start", "settings")
_PLACE = tuple(name for name in KEY if name not in ("version", "source"))
#: What two machines must share to be the same.
_MACHINE = ("processor", "cores", "system", "python")

Row = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    """A results file, checked.

    Raises
    ------
    InputError
        It is not there, or not one of ours.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"{path} is no results file of these benchmarks: {error}.") from error
    if not isinstance(told, dict) or told.get("schema") != SCHEMA or not isinstance(told.get("rows"), list):
        raise InputError(f"{path} is no results file of these benchmarks (schema {SCHEMA}).")
    return told


@dataclasses.dataclass
class Results:
    """Rows of one benchmark on one machine.

    Parameters
    ----------
    benchmark, states : str
        Which benchmark, and what the states are.
    path : Path or None
        Where every row is kept as soon as it is there; None keeps them in memory.
    """

    benchmark: str
    states: str
    path: Path | None
    machine: dict[str, Any] = dataclasses.field(default_factory=machine.describe)
    rows: list[Row] = dataclasses.field(default_factory=list)

    def resume(self) -> None:
        """Take over the rows of an earlier run from `path`, where there is one.

        Raises
        ------
        InputError
            The file is of another benchmark, of other states or of another machine.
        """
        if self.path is None or not self.path.exists():
            return
        told = read(self.path)
        before = {name: told["machine"].get(name) for name in _MACHINE}
        now = {name: self.machine[name] for name in _MACHINE}
        for what, old, new in (
            ("benchmark", told["benchmark"], self.benchmark),
            ("states", told["states"], self.states),
            ("machine", before, now),
        ):
            if old != new:
                raise InputError(
                    f"{self.path} was measured with another {what} ({old}, not {new}); write to another file."
                )
        self.rows = told["rows"]

    def find(self, key: Row) -> Row | None:
        """The row measured under `key`, None where there is none or it failed."""
        for row in self.rows:
            if _key(row) == _key(key) and "error" not in row:
                return row
        return None

    def add(self, row: Row) -> None:
        """Keep a row in the place of an older one, be it of another version of the system, and write the file."""
        self.rows = [old for old in self.rows if _key(old, _PLACE) != _key(row, _PLACE)] + [row]
        self.write()

    def write(self) -> None:
        """Write the file, aside first."""
        if self.path is not None:
            told = {
                "schema": SCHEMA,
                "benchmark": self.benchmark,
                "states": self.states,
                "machine": self.machine,
                "rows": self.rows,
            }
            write_text(self.path, json.dumps(told, indent=1) + "\n")


def _key(row: Row, names: tuple[str, ...] = KEY) -> str:
    return json.dumps({name: row.get(name) for name in names}, sort_keys=True)
