"""Answers that come compressed though `Accept-Encoding: identity` was asked for: what can be unpacked is."""

import zlib
from collections.abc import Callable, MutableMapping

_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_FREE = 4 << 20
_MOST_TIMES = 300
"""Beyond the first MiBs, data that grow by more are made to fill memory: text grows by some ten times."""


def unpacker(headers: MutableMapping[str, str], most_bytes: int) -> Callable[[bytes], bytes] | None:
    """What unpacks the pieces of a body that came with `headers` (names in lower case); None where nothing is to be
    done. The coding is then taken out of `headers`.

    A body that is not compressed though its header says so is passed on as it is. The function raises `ValueError`
    for damaged data, and where the body becomes larger than `most_bytes`, or absurdly larger than what came.
    """
    window = _CODINGS.get(headers.get("content-encoding", "").strip().lower())
    if window is None:
        return None
    del headers["content-encoding"]
    engine = zlib.decompressobj(window)
    plain: bool | None = None
    came = size = 0

    def unpack(piece: bytes) -> bytes:
        nonlocal plain, came, size
        if plain is None and piece:
            plain = piece[:1] in b"{[ \r\n:de"  # JSON, or an event's field; both codings begin otherwise
        if plain:
            return piece
        came += len(piece)
        most = min(most_bytes, _FREE + _MOST_TIMES * came)
        try:
            made = engine.decompress(piece, most - size + 1)
        except zlib.error as error:
            raise ValueError(f"damaged {error}") from None
        size += len(made)
        if size > most:
            raise ValueError("too large when unpacked")
        return made

    return unpack
