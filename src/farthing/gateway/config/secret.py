"""A secret that does not show itself: not when printed, not when encoded, not when pickled."""

import hmac
from typing import NoReturn

HIDDEN = "(hidden)"


class Secret:
    """An upstream's key, or an address that holds a password. Only `reveal` gives it away.

    `whence` says where it came from ("$OPENAI_API_KEY", a file's path), which may be shown. A plain class, because
    msgspec encodes structs, dataclasses and attrs classes field by field and refuses this one; with `enc_hook=str`
    it is written as "(hidden)".
    """

    __slots__ = ("_value", "whence")

    def __init__(self, value: str, whence: str) -> None:
        self._value = value
        self.whence = whence

    def reveal(self) -> str:
        """The secret itself: for the one header that it is sent in."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
