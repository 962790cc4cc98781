def checksum(data: bytes, start: int = 0, /) -> int:
    """The CRC-32 of `data`, as `zlib.crc32` gives it."""
