"""The cluster's client: how it is reached, and how tasks are handed out so that a worker that dies loses nothing."""

from __future__ import annotations

import collections
import contextlib
import importlib
import queue
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from hiddenstate_core.errors import HiddenStateError, InputError, MissingExtraError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterError", "Held", "checked", "connect", "here", "library", "run_tasks", "threads_of", "worker_threads"]

#: Seconds without any worker, and seconds that tasks at hand are waited for after an error or an interrupt.
PATIENCE, PARTING = 60.0, 60.0
#: Times that a task is handed out again after the data that it reads was lost with its last worker.
_TRIES = 3
#: How often in a row workers may leave while they are sent what tasks need.
_UNSENT = 10
_ADDRESS = re.compile(r"(?:(?P<scheme>tcp|tls|ws|wss)://)?(?:\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})/?")


class ClusterError(HiddenStateError, RuntimeError):
    """A cluster that cannot be reached, has no workers, or loses them."""


class Held:
    """What every worker needs of a job, sent to each once; subclasses keep there what is made from it.

    Attributes whose names begin with ``made_`` belong to one process and do not travel.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("made_")}


def library() -> Any:
    """The module `distributed`.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtraError(
            "Working on a cluster needs 'dask' and 'distributed', which are not installed; install them with: "
            "python -m pip install 'hiddenstate[cluster]'"
        ) from error


@contextlib.contextmanager
def connect(address: str, *, timeout: float = 10.0) -> Iterator[Client]:
    """Reach a running cluster; the connection ends with the block, the cluster stays.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``"tcp://10.0.0.5:8786"``; ``"tls://..."`` with the certificates that Dask's
        configuration names.
    timeout : float
        Seconds to wait for the scheduler, and then for a first worker.

    Yields
    ------
    distributed.Client

    Raises
    ------
    MissingExtraError
        `distributed` is not installed.
    InputError
        No address, or a TLS one without certificates.
    ClusterError
        No scheduler answers there, or it has no worker.
    """
    distributed = library()
    _check_address(address, distributed)
    try:
        client = distributed.Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise ClusterError(
            f"No Dask scheduler answers at {address!r} ({_brief(error)}); give the address that `dask scheduler` "
            "printed when it started, such as tcp://10.0.0.5:8786."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout)
        except OSError as error:
            raise ClusterError(
                f"The scheduler at {address!r} has no worker; start some with: dask worker {address}"
            ) from error
        yield client


def _check_address(address: str, distributed: Any) -> None:
    """Refuse what a client would stumble over only when it is half made, or would take for a wish for a new cluster."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > 65535:
        raise InputError(
            f"{address!r} is no address of a Dask scheduler; give the one that `dask scheduler` printed when it "
            "started, such as tcp://10.0.0.5:8786."
        )
    arguments = distributed.Security().get_connection_args("client")
    if found["scheme"] in ("tls", "wss") and arguments.get("ssl_context") is None:
        raise InputError(
            f"{address!r} asks for TLS, but Dask's configuration names no certificates for it: set "
            "distributed.comm.tls.ca-file and the client's cert and key."
        )


def checked(client: Any) -> Client:
    """`client` itself, if it is one that works and can be waited for.

    Raises
    ------
    InputError
        Not a synchronous `distributed.Client`.
    ClusterError
        Its connection is closed.
    """
    if not isinstance(client, library().Client):
        raise InputError(f"client must be a distributed.Client, not {type(client).__name__}.")
    if client.asynchronous:
        raise InputError("client must be a synchronous distributed.Client: make it with asynchronous=False.")
    if client.status != "running":
        raise ClusterError(f"The client's connection to its scheduler is {client.status}; make a new Client.")
    found: Client = client
    return found


def threads_of(client: Any) -> int:
    """Threads of all workers together; 0 where there is none."""
    return sum(client.nthreads().values())


def worker_threads() -> int:
    """Threads of the worker that this runs on."""
    return int(library().get_worker().state.nthreads)


def here() -> str:
    """The worker that this runs on, in words."""
    import socket

    return f"worker {library().get_worker().address} on {socket.gethostname()}"


def run_tasks(
    client: Client,
    function: Callable[[Any, Any], Any],
    held: Held,
    tasks: Sequence[Any],
    arrived: Callable[[int, Any], None],
    *,
    stop: Callable[[], None] | None = None,
) -> None:
    """Call ``function(held, task)`` on the workers for every task; results arrive in any order.

    `held` is sent to every worker once. Few tasks wait on a worker at any time, so that they go where there is room,
    workers that join are used, and little is left to be dropped when something fails. A task whose worker died is
    handed out again; after an error or an interrupt, tasks at hand are waited for.

    Parameters
    ----------
    client : Client
        A synchronous one.
    function : callable
        Something that can be imported on the workers; its result depends on its arguments only.
    held : Held
        The first argument of every call.
    tasks : sequence
        The second ones, small.
    arrived : callable
        Takes a task's number and its result.
    stop : callable, optional
        Tells workers, after an error or an interrupt, to begin nothing more.

    Raises
    ------
    ClusterError
        Workers died again and again, the scheduler was lost, there was no worker for a minute, or a task failed in a
        way that nobody thought of.
    HiddenStateError
        What a task raised.
    """
    _Run(checked(client), function, held, tasks, arrived).until_done(stop or (lambda: None))


class _Run:
    def __init__(
        self,
        client: Any,
        function: Callable[[Any, Any], Any],
        held: Held,
        tasks: Sequence[Any],
        arrived: Callable[[int, Any], None],
    ) -> None:
        self.client, self.function, self.held, self.tasks, self.arrived = client, function, held, tasks, arrived
        self.token = secrets.token_hex(4)
        self.waiting = collections.deque(range(len(tasks)))
        #: By key: a task's number, its future, and what was sent for it.
        self.running: dict[Any, tuple[int, Any, Any]] = {}
        self.tries = [0] * len(tasks)
        self.ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.sent: Any = None
        self.unsent = 0
        self.seen = time.monotonic()
        #: Whether nobody is left who could finish a task.
        self.gone = False

    def until_done(self, stop: Callable[[], None]) -> None:
        try:
            room = self._room()
            while self.waiting or self.running:
                while self.waiting and len(self.running) < room and self._submit(self.waiting[0]):
                    self.waiting.popleft()
                try:
                    self._take(self.ended.get(timeout=1.0))
                except queue.Empty:
                    room = self._room()
        except BaseException:
            stop()
            with contextlib.suppress(KeyboardInterrupt):  # asked a second time: leave at once
                if not self.gone:
                    self._part()
            raise
        finally:
            if self.running:
                with contextlib.suppress(Exception):
                    self.client.cancel([future for _, future, _ in self.running.values()])

    def _room(self) -> int:
        """How many tasks may be on their way: two a thread, so that none waits for the next one to be sent."""
        try:
            threads = threads_of(self.client)
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise self._scheduler_lost() from error
        if threads:
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > PATIENCE:
            self.gone = True
            raise ClusterError(
                f"The cluster has had no worker for {PATIENCE:.0f} seconds; what was done is kept. Start workers with: "
                f"dask worker {self.client.scheduler.address}"
            )
        return 2 * threads

    def _submit(self, number: int) -> bool:
        """Hand a task out; False where there is no worker just now."""
        try:
            if (self.sent is None or self.sent.status == "cancelled") and not self._send():
                return False
            # A key of its own for every try: the scheduler remembers those whose data were lost.
            key = f"{self.function.__name__.strip('_')}-{self.token}-{number}-{self.tries[number]}"
            future = self.client.submit(self.function, self.sent, self.tasks[number], key=key, pure=False)
        except TimeoutError:  # no worker to send to: `_room` says so when it has lasted
            return False
        except ClusterError:
            raise
        except (OSError, RuntimeError) as error:
            raise self._scheduler_lost() from error
        self.running[future.key] = number, future, self.sent
        future.add_done_callback(self.ended.put)
        return True

    def _send(self) -> bool:
        """Give every worker what all tasks need; False where a worker left while it was being sent."""
        try:
            (self.sent,) = self.client.scatter([self.held], broadcast=True, hash=False, timeout=10)
        except (TimeoutError, OSError, RuntimeError):
            raise
        except Exception as error:  # Dask passes on whatever befell the worker, as a bare Exception
            self.unsent += 1
            if self.unsent > _UNSENT:
                raise ClusterError(
                    f"The cluster's workers cannot be sent what their tasks need: {_brief(error)}."
                ) from error
            return False
        self.unsent = 0
        return True

    def _take(self, future: Any) -> None:
        number, _, sent = self.running.pop(future.key)
        try:
            result = future.result()
        except HiddenStateError:
            raise
        except CancelledError as error:
            if getattr(error, "reason", "") == "scheduler-connection-lost":
                raise self._scheduler_lost() from error
            self.tries[number] += 1
            if self.tries[number] > _TRIES:
                raise self._killed() from error
            if self.sent is sent:  # lost with the workers that held it
                self.sent = None
            self.waiting.appendleft(number)
            return
        except library().KilledWorker as error:
            raise self._killed() from error
        except Exception as error:
            raise ClusterError(
                f"A task failed on the cluster: {_brief(error)}. The scheduler and every worker need the same "
                "hiddenstate, Dask and Python as the client, and to see the same files under the same paths."
            ) from error
        self.arrived(number, result)

    def _part(self) -> None:
        """Wait for tasks at hand; what they give is of no interest any more."""
        until = time.monotonic() + PARTING
        while self.running and (left := until - time.monotonic()) > 0:
            try:
                future = self.ended.get(timeout=min(left, 1.0))
            except queue.Empty:
                continue
            self.running.pop(future.key, None)

    def _scheduler_lost(self) -> ClusterError:
        self.gone = True
        return ClusterError(
            "The connection to the scheduler was lost; what was done is kept. Start a cluster and run the same again."
        )

    def _killed(self) -> ClusterError:
        return ClusterError(
            "Workers died again and again over the same task, which is most often for want of memory; what was done is "
            "kept. Give workers more memory or fewer threads, or lower the memory that the job may take."
        )


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
