"""A client of one protocol reaches a model of the other: OpenAI chat/completions and Anthropic messages.

Pure: bytes in, bytes out, no clock, no network. What cannot be carried is `Refused`, naming the field; what is
harmless is a `Note`. docs/translation.md lists both. For an OpenAI client in front of an Anthropic-compatible upstream:
`to_anthropic`, then `openai_response` or `OpenAIStream`. For an Anthropic client in front of an OpenAI-compatible one:
`to_openai`, then `anthropic_response` or `AnthropicStream`. Errors of either: `translated_error`, `refused_error`.
"""

from farthing.gateway.translation.errors import TranslatedError, kept_headers, refused_error, translated_error
from farthing.gateway.translation.responses import anthropic_response, openai_response
from farthing.gateway.translation.stream_to_anthropic import AnthropicStream
from farthing.gateway.translation.stream_to_openai import OpenAIStream
from farthing.gateway.translation.to_anthropic import to_anthropic
from farthing.gateway.translation.to_openai import to_openai
from farthing.gateway.translation.words import (
    Answer,
    AnthropicTarget,
    BadAnswer,
    Note,
    OpenAITarget,
    Protocol,
    Refused,
    Reply,
    Translated,
)

__all__ = [
    "Answer",
    "AnthropicStream",
    "AnthropicTarget",
    "BadAnswer",
    "Note",
    "OpenAIStream",
    "OpenAITarget",
    "Protocol",
    "Refused",
    "Reply",
    "Translated",
    "TranslatedError",
    "anthropic_response",
    "kept_headers",
    "openai_response",
    "refused_error",
    "to_anthropic",
    "to_openai",
    "translated_error",
]
