"""An upstream's key is in no answer: some quote it in their errors, and a broken one may anywhere."""

from collections.abc import Sequence
from operator import itemgetter

SHORTEST = 8
"""A shorter key is not looked for: it would be found in ordinary text."""
HIDDEN = b"(hidden)"
Pairs = Sequence[tuple[str, str]]
_value_of = itemgetter(1)


class Hiding:
    """Hides one secret."""

    __slots__ = ("_text", "secret")

    def __init__(self, secret: str) -> None:
        self._text = secret if len(secret) >= SHORTEST else ""
        self.secret = self._text.encode()

    def pairs(self, headers: Pairs) -> Pairs:
        """The headers of an answer without those that hold the secret."""
        text = self._text
        if not text or text not in "\n".join(map(_value_of, headers)):  # all at once: hardly ever is it in one
            return headers
        return [pair for pair in headers if text not in pair[1]]

    def body(self, body: bytes) -> bytes:
        """A whole body without the secret."""
        return body.replace(self.secret, HIDDEN) if self.secret else body

    def stream(self) -> "HidingStream":
        """For one body that comes in pieces."""
        return HidingStream(self.secret)


class HidingStream:
    """A body in pieces. What may be the beginning of the secret is held back until the next piece, or `end`."""

    __slots__ = ("_held", "_secret")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What can go on of `piece`."""
        secret = self._secret
        if not secret:
            return piece
        if self._held:
            piece, self._held = self._held + piece, b""
        if piece.find(secret) >= 0:  # (`in` takes longer: it tries the secret as a number first)
            piece = piece.replace(secret, HIDDEN)
        if piece[-1:] == b"\n":  # as an event ends, nearly always; no key has a line's end in it
            return piece
        at = piece.find(secret[:1], max(len(piece) - len(secret) + 1, 0))
        while at >= 0:
            if secret.startswith(piece[at:]):
                self._held = piece[at:]
                return piece[:at]
            at = piece.find(secret[:1], at + 1)
        return piece

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held
