"""The surfaces that are metered: one path of one protocol each."""

from enum import StrEnum


class Surface(StrEnum):
    """What a request is sent to; the value is its path after `/v1/`."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"

    @property
    def protocol(self) -> str:
        """ "anthropic" or "openai"."""
        return "anthropic" if self in (Surface.MESSAGES, Surface.COUNT_TOKENS) else "openai"


SURFACES = {f"/v1/{surface.value}": surface for surface in Surface}
"""Every metered surface by the path that a client calls."""
