"""The registries of faults, by name: some alter the answer, some take over how it is sent."""

import json
from collections.abc import Awaitable, Callable

from tests.gateway.faulty import answers
from tests.gateway.faulty.asked import Asked
from tests.gateway.faulty.log import Record
from tests.gateway.faulty.wire import Reply, Wire

Alter = Callable[[Asked, Reply], Reply]
Take = Callable[[Asked, Reply, Wire, Record], Awaitable[None]]
ALTER: dict[str, Alter] = {}
TAKE: dict[str, Take] = {}


def alters(fault: Alter) -> Alter:
    ALTER[fault.__name__] = fault
    return fault


def takes(fault: Take) -> Take:
    TAKE[fault.__name__] = fault
    return fault


def error_reply(asked: Asked, status: int) -> Reply:
    """An error as the vendor writes it; `retry_after` goes into the header as it stands."""
    headers = [("content-type", "application/json")]
    if asked.orders.retry_after:
        headers.append(("retry-after", asked.orders.retry_after))
    body = json.dumps(answers.error(status, asked.anthropic, asked.orders.type)).encode()
    return Reply(status, headers, [body], [0])
