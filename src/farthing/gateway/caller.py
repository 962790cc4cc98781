"""Who asks, and to what the request is attributed: headers before the body's own fields before the key's defaults."""

from collections.abc import Mapping

import msgspec

from farthing.gateway.metering import Asked
from farthing.gateway.metering.words import word

_FIELDS = ("feature", "request_type", "user", "segment", "session")
_HEADERS = {b"x-farthing-" + field.replace("_", "-").encode(): field for field in _FIELDS}
_TAGS = b"x-farthing-tags"
PASSING = frozenset({b"x-farthing-session", _TAGS})
"""Headers that say something else with each request, or each few."""
SAYING = (b"authorization", b"x-api-key", b"api-key", *_HEADERS, _TAGS)
"""All headers that say who asks, or attribute a request."""
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
    shown = headers.get(b"authorization")
    if shown is not None and shown[:7].lower() == b"bearer ":
        return shown[7:].strip().decode("latin-1")
    return (headers.get(b"x-api-key") or headers.get(b"api-key") or b"").strip().decode("latin-1")


def merged(*defaults: Attribution) -> Attribution:
    """The defaults of several, the first that says a field before the others."""
    found = {field: next((told for one in defaults if (told := getattr(one, field))), "") for field in _FIELDS}
    tags: dict[str, str] = {}
    for one in reversed(defaults):
        tags |= one.tags
    return Attribution(**found, tags=tags)


def attribution(headers: Mapping[bytes, bytes], asked: Asked, default: Attribution) -> Attribution:
    """What `headers` say, else what the body says (`user`, `metadata`), else what `default` says.

    A label in `metadata` that is called like a field is that field; the others are tags.
    """
    labels = asked.metadata
    told: dict[str, str] = {}
    for name in headers.keys() & _HEADERS.keys():
        if value := word(headers[name].decode("utf-8", "replace")):
            told[_HEADERS[name]] = value
    raw_tags = headers.get(_TAGS)
    if not labels and raw_tags is None and not asked.user and not asked.session:
        return msgspec.structs.replace(default, **told) if told else default
    for field, stated in (("user", asked.user), ("session", asked.session)):
        if stated:
            told.setdefault(field, stated)
    for field in _FIELDS:
        if label := labels.get(field):
            told.setdefault(field, label)
    tags = dict(default.tags)
    tags |= {name: value for name, value in labels.items() if name not in _FIELDS and name != "user_id"}
    if raw_tags is not None:
        tags |= read_tags(raw_tags.decode("utf-8", "replace"))
    return msgspec.structs.replace(default, **told, tags=dict(list(tags.items())[:_MOST_TAGS]))


def read_tags(text: str) -> dict[str, str]:
    """Tags out of "name=value,other=value"; a name alone is "true"."""
    tags: dict[str, str] = {}
    for part in text.split(",")[:_MOST_TAGS]:
        name, equals, value = part.partition("=")
        if name := word(name):
            tags[name] = word(value) if equals else "true"
    return tags
