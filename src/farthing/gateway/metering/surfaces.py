"""The surfaces that are metered: one path of one protocol each."""

from enum import StrEnum


class Surface(StrEnum):
    """What a request is sent to. `path` (the value): after `/v1/`; `protocol`: "anthropic" or "openai"."""

    protocol: str
    path: str

    def __new__(cls, path: str) -> "Surface":
        made = str.__new__(cls, path)
        made._value_ = made.path = path  # (`value` is a property written in Python)
        made.protocol = "anthropic" if path.startswith("messages") else "openai"
        return made

    CHAT = "chat/completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"


CHAT, RESPONSES, EMBEDDINGS = Surface.CHAT, Surface.RESPONSES, Surface.EMBEDDINGS
COMPLETIONS, MESSAGES, COUNT_TOKENS = Surface.COMPLETIONS, Surface.MESSAGES, Surface.COUNT_TOKENS
# By these names on the path of every request: looking up `Surface.CHAT` takes 0.1 µs in Python 3.11.

SURFACES = {f"/v1/{surface.value}": surface for surface in Surface}
"""Every metered surface by the path that a client calls."""
