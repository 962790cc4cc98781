from collections.abc import Mapping

from farthing.gateway.metering.surfaces import Surface
from farthing.gateway.metering.values import Served

def plain_answer(surface: Surface, body: bytes, headers: Mapping[str, str]) -> Served | None: ...
