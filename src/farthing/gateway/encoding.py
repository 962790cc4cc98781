"""Answers that come compressed though `Accept-Encoding: identity` was asked for: what can be unpacked is."""

import zlib
from collections.abc import Callable, MutableMapping

_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def unpacker(headers: MutableMapping[str, str], most_bytes: int) -> Callable[[bytes], bytes] | None:
    """What unpacks the pieces of a body that came with `headers` (names in lower case); None where nothing is to be
    done. The coding is then taken out of `headers`.

    A body that is not compressed though its header says so is passed on as it is. The function raises `ValueError`
    for damaged data, and where the body becomes larger than `most_bytes`.
    """
    window = _CODINGS.get(headers.get("content-encoding", "").strip().lower())
    if window is None:
        return None
    del headers["content-encoding"]
    engine = zlib.decompressobj(window)
    plain: bool | None = None
    size = 0

    def unpack(piece: bytes) -> bytes:
        nonlocal plain, size
        if plain is None and piece:
            plain = piece[:1] in b"{[ \r\n:de"  # JSON, or an event's field; both codings begin otherwise
        if plain:
            return piece
        try:
            made = engine.decompress(piece, most_bytes - size + 1)
        except zlib.error as error:
            raise ValueError(f"damaged {error}") from None
        size += len(made)
        if size > most_bytes:
            raise ValueError("too large when unpacked")
        return made

    return unpack
