"""Reads what someone types: one model for each trace, loaded on first use and shared by all sessions."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.analysis import Divergence, SentencePlacer, TextReading, check_model, divergence, read_text
from hiddenstate_core.analysis import find_model as find_beside
from hiddenstate_core.errors import HiddenStateError, ModelError
from hiddenstate_viewer.colours import Palette
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.limits import MAX_WORDS

if TYPE_CHECKING:
    from hiddenstate_core.models import Model
    from hiddenstate_viewer.state import Selection
    from hiddenstate_viewer.trajectories import Path as Way

__all__ = ["ModelDesk", "Typed", "Wish", "caught_up"]


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is to be made of a text.

    Parameters
    ----------
    text : str
        As `hiddenstate_viewer.limits.check_text` gives it.
    projections : tuple of str
        Maps in which its states are placed.
    sequence : int or None
        The sequence that it is compared with.
    layer : int
        Layer of the step distances.
    direction : str
        Direction of the step distances.
    quantity : str
        Quantity of the step distances.
    """

    text: str
    projections: tuple[str, ...] = ()
    sequence: int | None = None
    layer: int = -1
    direction: str | None = None
    quantity: str = "hidden"

    @classmethod
    def of(cls, text: str, selection: Selection) -> Wish:
        """What a session's selection asks for."""
        named = tuple(dict.fromkeys(name for name in (selection.projection, selection.beside) if name))
        return cls(text, named, selection.sequence, selection.layer, selection.direction, selection.quantity)


@dataclasses.dataclass(frozen=True, eq=False)
class Typed:
    """What the model made of a text; T words.

    Parameters
    ----------
    reading : TextReading
        Words, states and probabilities.
    jumps : (T,) float32
        Step distances as shares of the data set's largest.
    places : dict of str to (T, 2) float32
        Places of the states in each map that is ready.
    divergence : Divergence or None
        How it is read otherwise than the sequence beside it; None where there is none.
    original : Reading or None
        That sequence.
    seconds : float
        Time that reading and placing took.
    waiting : tuple of str
        Maps that are still being prepared.
    problems : tuple of str
        Why it could not be placed somewhere, a sentence each.
    """

    reading: TextReading
    jumps: NDArray[np.float32]
    places: dict[str, NDArray[np.float32]]
    divergence: Divergence | None = None
    original: Reading | None = None
    seconds: float = 0.0
    waiting: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.reading)

    def shown(self, palette: Palette) -> Reading:
        """The text as the views show a sequence; its number is -1."""
        evolution = self.reading.evolution
        return Reading(
            index=-1, id="your text", start=0, evolution=evolution, known=self.reading.known, jumps=self.jumps,
            colours=palette.outputs(evolution.probabilities), before=palette.outputs(evolution.before),
        )  # fmt: skip

    def path(self, projection: str, palette: Palette) -> Way:
        """Its trajectory in a map in which it was placed."""
        from hiddenstate_viewer.trajectories import Path as Way

        return Way("your text", self.places[projection], palette.outputs(self.reading.probabilities))


class ModelDesk:
    """The model of a trace and its placers; one for each process and trace, safe in threads.

    Parameters
    ----------
    data : ViewData
        The trace; its `model_path` names the checkpoint, or one is looked for beside the store.
    """

    def __init__(self, data: ViewData) -> None:
        self.data = data
        self._lock = threading.RLock()  # what was begun may be done before it is noted
        self._model: Model | None = None
        self._placers: dict[str, SentencePlacer] = {}
        self._preparing: dict[str, Future[None]] = {}
        self._failed: dict[str, str] = {}

    @classmethod
    def of(cls, data: ViewData) -> ModelDesk:
        """The trace's desk."""
        desk: ModelDesk = data.keep("desk", None, lambda: cls(data))
        return desk

    @functools.cached_property
    def path(self) -> Path | None:
        """Checkpoint of the model, if there is one."""
        if self.data.model_path is not None:
            return self.data.model_path
        try:
            return find_beside(self.data.trace.path)
        except (HiddenStateError, OSError):
            return None

    @property
    def problem(self) -> str | None:
        """Why no text can be read, in a sentence; None where one can."""
        if self.data.trace.task == "language_model":
            return "This model predicts words, not classes; texts typed in are read by classifiers only."
        if self.path is None:
            return "The model that recorded this trace was not found beside it."
        return None

    @property
    def model(self) -> Model:
        """The model, loaded on first use.

        Raises
        ------
        ModelError
            There is none, it is damaged, or it is not the one that recorded the trace.
        """
        with self._lock:
            if self._model is None:
                if self.path is None:
                    raise ModelError(f"{self.problem} Start the viewer with --model.")
                from hiddenstate_core.models import load_model

                model = load_model(self.path)
                check_model(self.data.trace, model)
                self._model = model
            return self._model

    def placer(self, projection: str) -> SentencePlacer:
        """What places states in a map."""
        with self._lock:
            if projection not in self._placers:
                self._placers[projection] = SentencePlacer(self.data.trace, projection)
            return self._placers[projection]

    def prepare(self, projection: str) -> Future[None]:
        """Begin to build what places states in a map, in the background, unless that was begun."""
        placer = self.placer(projection)
        with self._lock:
            known = self._preparing.get(projection)
            if known is None:
                known = self._preparing[projection] = _builders().submit(placer.prepare)
                known.add_done_callback(functools.partial(self._prepared, projection))
            return known

    def _prepared(self, projection: str, future: Future[None]) -> None:
        # A future is not kept once it is done: it holds on to whoever waited for it.
        with self._lock:
            self._preparing.pop(projection, None)
            failure = future.exception()
            if failure is not None:
                self._failed[projection] = str(failure)

    def warm(self, projections: tuple[str, ...] = ()) -> None:
        """Load the model, compile its program and build what places states; errors come when a text is read."""

        def work() -> None:
            read_text(self.model, "a")

        if self.problem is None:
            _readers().submit(work)
            for name in projections:
                self.prepare(name)

    def read(self, wish: Wish) -> Typed:
        """Read a text and place it in the maps that are ready; others are begun to be prepared.

        Raises
        ------
        HiddenStateError
            No model, or a text that it cannot read.
        """
        started = time.perf_counter()
        data, trace = self.data, self.data.trace
        gate = wish.quantity.startswith("gate:")
        placers = {name: self.placer(name) for name in wish.projections}
        gates = gate or any(placer.quantity.startswith("gate:") for placer in placers.values())
        reading = read_text(self.model, wish.text, initial=trace.initial_probabilities, limit=MAX_WORDS, gates=gates)
        places, waiting, problems = {}, [], []
        for name, placer in placers.items():
            try:
                if placer.ready:
                    places[name] = np.asarray(placer.place(reading)[:, :2], np.float32)
                    continue
                if name in self._failed:
                    problems.append(f"The text cannot be placed in {name}: {self._failed[name]}")
                else:
                    self.prepare(name)
                    waiting.append(name)
            except HiddenStateError as error:
                problems.append(f"The text cannot be placed in {name}: {error}")
        own: dict[str, Any] = {"layer": wish.layer, "direction": wish.direction, "quantity": wish.quantity}
        distances = data.distances_soon(wish.layer, wish.quantity, wish.direction)
        jumps = reading.distances(distances.largest if distances is not None else 1.0, **own)
        if distances is None and len(jumps):
            jumps = jumps / max(float(jumps.max()), 1e-12)
        original = None
        if wish.sequence is not None:
            original = data.reading(wish.sequence, wish.layer, quantity=wish.quantity, direction=wish.direction)
        apart = None if original is None else self._apart(reading, original, wish)
        return Typed(reading, jumps, places, apart, original, time.perf_counter() - started, tuple(waiting),
                     tuple(problems))  # fmt: skip

    def _apart(self, reading: TextReading, original: Reading, wish: Wish) -> Divergence:
        evolution = original.evolution
        states: dict[str, Any] = {}
        if "hidden" in self.data.trace.recorded and wish.layer % len(self.data.trace.layers) in self.data.layers:
            view = self.data.trace.sequence(original.index)
            states = {
                "states_a": view.hidden(wish.layer, wish.direction),
                "states_b": reading.hidden(wish.layer, wish.direction),
            }
        return divergence(evolution.words, reading.words, evolution.probabilities, reading.probabilities, **states)

    def submit(self, wish: Wish, outdated: Any, done: Any, failed: Any) -> None:
        """Read in a thread; `done(typed)` or `failed(sentence)` is called there, neither if `outdated()` by then.

        Where a map had to be prepared first, `done` is called a second time once it is.
        """

        def work() -> None:
            if outdated():
                return
            try:
                typed = self.read(wish)
            except HiddenStateError as error:
                failed(str(error))
                return
            except Exception as error:  # a store or checkpoint taken away: the page lives on
                failed(f"The text could not be read ({type(error).__name__}: {error}).")
                return
            if outdated():
                return
            done(typed)
            for name in typed.waiting[:1]:
                self.prepare(name).add_done_callback(lambda _future: _readers().submit(work))

        _readers().submit(work)


def caught_up() -> Future[None]:
    """Done once all that is asked of the models by now was done."""
    return _readers().submit(lambda: None)


@functools.cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="hiddenstate-reader")


@functools.cache
def _builders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="hiddenstate-placer")
