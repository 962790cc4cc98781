"""The tools that a request offers, decoded: for those whose list `tool_lists` does not take."""

from typing import Any, NamedTuple

import msgspec

from farthing.gateway.metering.decoding import FAULTS
from farthing.gateway.metering.prompt_size import is_built_in
from farthing.gateway.metering.words import word

_tools = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_type = msgspec.json.Decoder(Any).decode


class Tools(NamedTuple):
    """How many tools there are, whether the provider runs one of them, and whether they cannot be read."""

    number: int = 0
    built_in: bool = False
    odd: bool = False


def tools_in(stated: msgspec.Raw) -> Tools:
    """What tools there are, by the `type` of each (Anthropic's own clients' tools have none)."""
    if not stated or bytes(stated) == b"null":
        return Tools()
    try:
        found = _tools(stated)
        kinds = [word(_type(tool["type"])) if "type" in tool else "" for tool in found]
    except FAULTS:
        return Tools(odd=True)
    return Tools(len(kinds), any(map(is_built_in, kinds)))
