"""Who asks, and to what the request is attributed: headers before the body's own fields before the key's defaults."""

from collections.abc import Mapping

import msgspec

from farthing.gateway.metering import Asked
from farthing.gateway.metering.words import word

_FIELDS = ("feature", "request_type", "user", "segment", "session")
_MOST_TAGS = 32


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """To what a request is attributed; "" where nobody said."""

    feature: str = ""
    request_type: str = ""
    user: str = ""
    segment: str = ""
    session: str = ""
    tags: Mapping[str, str] = {}


NOBODY = Attribution()


def token_of(headers: Mapping[bytes, bytes]) -> str:
    """The virtual key that a request shows: `Authorization: Bearer`, else `x-api-key`, else `api-key`; "" without."""
    shown = headers.get(b"authorization", b"")
    if shown[:7].lower() == b"bearer ":
        return shown[7:].strip().decode("latin-1")
    return (headers.get(b"x-api-key") or headers.get(b"api-key") or b"").strip().decode("latin-1")


def attribution(headers: Mapping[bytes, bytes], asked: Asked, *defaults: Attribution) -> Attribution:
    """What `headers` say, else what the body says (`user`, `metadata`), else the first of `defaults` that says it.

    A label in `metadata` that is called like a field is that field; the others are tags.
    """
    labels = asked.metadata
    stated = any(name.startswith(b"x-farthing-") for name in headers)
    if not stated and not labels and not asked.user and not asked.session and len(defaults) == 1:
        return defaults[0]
    found: dict[str, str] = {}
    for field in _FIELDS:
        header = headers.get(b"x-farthing-" + field.replace("_", "-").encode()) if stated else None
        found[field] = (
            (word(header.decode("utf-8", "replace")) if header else "")
            or (asked.user if field == "user" else asked.session if field == "session" else "")
            or labels.get(field, "")
            or next((value for one in defaults if (value := getattr(one, field))), "")
        )
    tags: dict[str, str] = {}
    for one in reversed(defaults):
        tags |= one.tags
    tags |= {name: value for name, value in labels.items() if name not in _FIELDS and name != "user_id"}
    if raw := headers.get(b"x-farthing-tags"):
        tags |= read_tags(raw.decode("utf-8", "replace"))
    return Attribution(**found, tags=dict(list(tags.items())[:_MOST_TAGS]))


def read_tags(text: str) -> dict[str, str]:
    """Tags out of "name=value,other=value"; a name alone is "true"."""
    tags: dict[str, str] = {}
    for part in text.split(",")[:_MOST_TAGS]:
        name, equals, value = part.partition("=")
        if name := word(name):
            tags[name] = word(value) if equals else "true"
    return tags
