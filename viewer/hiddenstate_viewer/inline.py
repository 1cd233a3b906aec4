"""Small arrays written into a message of Bokeh's: sent after it each would be two messages more."""

from __future__ import annotations

import base64
import zlib
from typing import Any

from bokeh.core.serialization import BytesRep, Serializer

__all__ = ["inline_small_arrays"]

#: Bytes of an array that is sent by itself; below, a third more of them cost less than its messages.
_SENT = 8_192
#: A gzip stream (RFC 1952), which Bokeh expects of what is written in; stored as it is.
_STORED: dict[str, Any] = {"level": 0, "wbits": 31}


def inline_small_arrays() -> None:
    """Have Bokeh write small arrays into the message that they belong to, from now on; done once.

    Bokeh (3.9) sends every array of a patch after it, in two WebSocket messages. A sequence that is chosen has two
    dozen arrays, and server and browser spend a tenth of the time of a selection on those messages.
    """
    send = getattr(Serializer, "_encode_bytes", None)
    if send is None or hasattr(send, "plain"):
        return

    def encode(self: Serializer, obj: bytes | memoryview) -> BytesRep:
        size = obj.nbytes if isinstance(obj, memoryview) else len(obj)
        if size >= _SENT:
            written: BytesRep = send(self, obj)
            return written
        raw = obj.tobytes() if isinstance(obj, memoryview) else obj
        return BytesRep(type="bytes", data=base64.b64encode(zlib.compress(raw, **_STORED)).decode("ascii"))

    encode.plain = send  # type: ignore[attr-defined]
    Serializer._encode_bytes = encode
