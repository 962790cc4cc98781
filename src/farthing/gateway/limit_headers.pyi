"""What `limit_headers.pyx` offers."""

from typing import final

from farthing.gateway.problem import Header

@final
class Told:
    def __init__(self, requests: int | None, tokens: int | None, fixed: list[Header]) -> None: ...

def told(requests: int | None, tokens: int | None, requests_reset_s: int, tokens_reset_s: int) -> Told: ...
