"""Where the server listens: the address and the port, whether others can reach it, and what to say if it cannot."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence

from hiddenstate_core.errors import HiddenStateError, InputError

__all__ = ["UnreachableError", "bare_address", "bind", "bracketed", "is_loopback", "own_names", "shown_host"]

#: Hosts that mean every address of the machine.
WILDCARDS = ("", "0.0.0.0", "::")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRIES = 20


class UnreachableError(HiddenStateError, OSError):
    """An address that cannot be listened on."""


def bind(host: str, port: int) -> tuple[list[socket.socket], int]:
    """Listen on an address.

    Parameters
    ----------
    host : str
        Address or name; an empty one means every address of the machine.
    port : int
        Port wanted; the next free one of twenty is taken if it is in use, any free one for 0.

    Returns
    -------
    (list of socket, int)
        What to accept connections from, and the port.

    Raises
    ------
    InputError
        No port number.
    UnreachableError
        No such address, not one of this machine, all twenty ports in use, or one that is reserved.
    """
    if not 0 <= port <= 65_535:
        raise InputError(f"A port lies in 0..65535, not {port}; 0 takes any free one.")
    tries = [port] * 3 if port == 0 else list(range(port, min(port + _TRIES, 65_536)))
    last = tries[-1]
    for left, tried in zip(range(len(tries) - 1, -1, -1), tries, strict=True):
        try:
            sockets = _listen(host, tried)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and left:
                continue
            raise UnreachableError(_why(host, port, last, error)) from error
        except UnicodeError as error:  # a name that cannot be one of a machine: too long, two dots in a row
            raise UnreachableError(
                f"{host!r} is not the name or address of a machine; try --host 127.0.0.1."
            ) from error
        return sockets, int(sockets[0].getsockname()[1])
    raise AssertionError("the last port is either taken or refused")


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on all that a host stands for, on one port; every one is closed again where one fails."""
    # Tornado's own leaves the one that failed open.
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError as error:  # a family that this machine does not have
                missing = error
                continue
            sockets.append(one)
            if os.name != "nt":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken = port or (sockets[0].getsockname()[1] if len(sockets) > 1 else 0)
            try:
                one.bind((address[0], taken, *address[2:]))
            except OSError as error:
                # Of the several addresses of a name, one that the machine does not have is left out.
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                missing = error
                sockets.pop().close()
                continue
            one.setblocking(False)
            one.listen(128)
        if not sockets:
            raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


def _why(host: str, port: int, last: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"There is no machine called {host!r} ({error.strerror}); try --host 127.0.0.1."
    if error.errno == errno.EADDRINUSE:
        ports = f"Port {port} is" if last == port else f"Ports {port} to {last} are all"
        return f"{ports} in use on {host or 'this machine'}; choose another --port, or 0 for any free one."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} is kept for the administrator on this machine; choose a --port from 1024."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; try --host 127.0.0.1, or 0.0.0.0 for all that it has."
    return (
        f"Nothing can listen on {host}, port {port} ({os.strerror(error.errno or 0)}); choose another --host or --port."
    )


def bare_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a text is; None for a name. An IPv4 address inside an IPv6 one counts as the former."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`; a name counts by all that it stands for.

    Raises
    ------
    UnreachableError
        A name that stands for nothing.
    """
    if host in WILDCARDS:
        return False
    address = bare_address(host)
    if address is not None:
        return address.is_loopback
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"There is no machine called {host!r}; try --host 127.0.0.1.") from error
    addresses = [bare_address(str(entry[4][0])) for entry in found]
    return bool(addresses) and all(a is not None and a.is_loopback for a in addresses)


def bracketed(host: str) -> str:
    """A host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def shown_host(host: str) -> str:
    """The host to print: itself, or for a wildcard the address under which others most likely reach this machine."""
    if host not in WILDCARDS:
        return host
    family, far, near = (
        (socket.AF_INET6, "2001:db8::1", "::1") if host == "::" else (socket.AF_INET, "192.0.2.1", "127.0.0.1")
    )
    try:
        # Connecting a datagram socket sends nothing; it only asks which way a packet would leave.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return near


def own_names(host: str, sockets: Sequence[socket.socket]) -> frozenset[str]:
    """Names under which a browser may know this server: what was asked for, what is bound, localhost."""
    names = {host.lower(), *LOOPBACK, *(str(s.getsockname()[0]) for s in sockets)}
    if host in WILDCARDS:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower(), shown_host(host)}
    return frozenset(names - set(WILDCARDS))
