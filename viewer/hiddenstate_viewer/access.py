"""Who may ask: the token, the hosts that requests may be addressed to, and the origins that may open a WebSocket."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from hiddenstate_core.errors import InputError
from hiddenstate_core.viewing import ServeOptions
from hiddenstate_viewer.listening import LOOPBACK, bare_address

__all__ = ["Access", "check_origin", "check_prefix", "choose_token", "plain_path", "split_netloc"]

TOKEN_VARIABLE = "HIDDENSTATE_TOKEN"
_SHORTEST = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
#: Of a segment of a path. The only escape that any has is that of "^", in the name of a library of Panel's.
_SEGMENT = r"(?:[A-Za-z0-9._~@+,^-]|%5[Ee])+"
#: A path that this server may have: plain segments; nothing else to unescape, nothing empty, no separator but "/".
_PATH = re.compile(rf"/|(?:/{_SEGMENT})+/?")
_LONGEST_PATH = 512
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def choose_token(options: ServeOptions, *, public: bool) -> str | None:
    """The token that visitors must have, None where none is needed.

    Parameters
    ----------
    options : ServeOptions
        What was asked for; a token may stand in the environment too (``HIDDENSTATE_TOKEN``).
    public : bool
        Whether others than this machine can reach the server; then there is a token unless it was declined.

    Returns
    -------
    str or None
        The one given, or a new random one of 256 bits.

    Raises
    ------
    InputError
        One that is too short or does not fit into an address, or a token both given and declined.
    """
    if options.no_token:
        if options.token is not None:
            raise InputError("Either give a --token or say --no-token, not both.")
        return None
    given, source = options.token, "--token"
    if given is None and os.environ.get(TOKEN_VARIABLE):
        given, source = os.environ[TOKEN_VARIABLE], TOKEN_VARIABLE
    if given is None:
        return secrets.token_urlsafe(32) if public else None
    if len(given) < _SHORTEST or not _TOKEN.fullmatch(given):
        # The token itself is not repeated: messages end up in logs.
        raise InputError(
            f"{source} takes at least {_SHORTEST} letters, digits and signs of . _ ~ -; leave it out to have one made."
        )
    return given


def check_prefix(prefix: str) -> str:
    """A prefix of paths as ``/tools/hs``, without a slash at its end; empty for none.

    Raises
    ------
    InputError
        No plain path.
    """
    if prefix.strip("/") == "":
        return ""
    plain = "/" + prefix.strip("/")
    if plain_path(plain) is None or not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", plain):
        raise InputError(f"--prefix takes a path such as /tools/states, not {prefix!r}.")
    return plain


def plain_path(path: str) -> str | None:
    """`path` if it is one that this server could have, else None.

    All paths of this server are made of plain segments, so whatever needs unescaping, has an empty segment or one of
    dots only, a backslash, or is very long, is none of them.
    """
    if len(path) > _LONGEST_PATH or not _PATH.fullmatch(path):
        return None
    return None if any(part and not part.strip(".") for part in path.split("/")) else path


def split_netloc(text: str, scheme: str = "http") -> tuple[str, int] | None:
    """Host (lower case, no brackets) and port of ``host[:port]``; the port by scheme if absent; None if malformed."""
    try:
        parts = urlsplit(f"//{text}")
        if parts.netloc != text or "@" in text or not parts.hostname:
            return None
        port = parts.port if parts.port is not None else _DEFAULT_PORTS.get(scheme, 80)
        return parts.hostname.rstrip("."), port
    except ValueError:
        return None


def check_origin(text: str) -> frozenset[tuple[str, int]]:
    """What ``--origin HOST[:PORT]`` allows: without a port, those of http and of https.

    Raises
    ------
    InputError
        No host, or a pattern.
    """
    bare = re.sub(r"^https?://", "", text.strip().lower()).rstrip("/")
    http, https = split_netloc(bare, "http"), split_netloc(bare, "https")
    host = re.fullmatch(r"[a-z0-9.:_-]+", http[0]) if http is not None else None
    if http is None or https is None or host is None:
        raise InputError(f"--origin takes the HOST or HOST:PORT that stands in the visitors' browsers, not {text!r}.")
    return frozenset({http, https})


@dataclasses.dataclass(frozen=True)
class Access:
    """The rules of one server.

    Parameters
    ----------
    port : int
        Where it listens.
    names : frozenset of str
        Its own names and addresses, lower case.
    origins : frozenset of (str, int)
        Hosts and ports of proxies in front of it.
    token : str or None
        What visitors must have.
    prefix : str
        Of all its paths.
    """

    port: int
    names: frozenset[str]
    origins: frozenset[tuple[str, int]] = frozenset()
    token: str | None = dataclasses.field(default=None, repr=False)
    prefix: str = ""

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers do not keep ports apart, so it names this server's."""
        return f"hiddenstate-{self.port}"

    @property
    def pass_value(self) -> str:
        """What the cookie holds: not the token itself, but what only someone who has it can compute."""
        return hmac.new((self.token or "").encode(), b"hiddenstate viewer cookie", hashlib.sha256).hexdigest()

    def right_token(self, given: str | bytes | None) -> bool:
        """Whether a token is the right one; compared in constant time."""
        return _same(given, self.token)

    def right_pass(self, given: str | None) -> bool:
        """Whether a cookie's value is the right one; compared in constant time."""
        return self.token is not None and _same(given, self.pass_value)

    def right_header(self, header: str | None) -> bool:
        """Whether an ``Authorization: Bearer TOKEN`` header has the right one, for scripts."""
        kind, _, value = (header or "").partition(" ")
        return kind.lower() == "bearer" and self.right_token(value.strip())

    def knows_host(self, netloc: str, scheme: str = "http", local: str | None = None) -> bool:
        """Whether ``host[:port]`` means this server; `local` is the address on which the connection came in.

        A page of a foreign name that was made to point here (DNS rebinding) is told by this.
        """
        found = split_netloc(netloc.lower(), scheme)
        if found is None:
            return False
        host, port = found
        if found in self.origins:
            return True
        if port != self.port:
            return False
        address = bare_address(host)
        return host in self.names or (address is not None and local is not None and address == bare_address(local))

    def knows_origin(self, origin: str, local: str | None = None) -> bool:
        """Whether a page of `origin` (``scheme://host[:port]``) may open a WebSocket."""
        scheme, mark, netloc = origin.lower().partition("://")
        return mark != "" and scheme in ("http", "https") and self.knows_host(netloc, scheme, local)

    def target(self, path: str, arguments: Mapping[str, Iterable[bytes]]) -> str:
        """The same page without the token in its address."""
        from urllib.parse import urlencode

        rest = [(name, value) for name, values in arguments.items() if name != "token" for value in values]
        return f"{path}?{urlencode(rest)}" if rest else path


def public_origins(origins: Iterable[tuple[str, int]]) -> bool:
    """Whether any of the proxies' names is not this machine's own to itself."""
    for host, _ in origins:
        address = bare_address(host)
        if host not in LOOPBACK and not (address is not None and address.is_loopback):
            return True
    return False


def _same(given: str | bytes | None, wanted: str | None) -> bool:
    if given is None or wanted is None:
        return False
    mine = given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass")
    return hmac.compare_digest(mine, wanted.encode())
