"""What a worker serves, and how much of it."""

import asyncio
import resource
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from farthing.gateway.process.request_head import Heads

if TYPE_CHECKING:
    from farthing.gateway.process.connection import Connection
    from farthing.gateway.process.cycle import Cycle

_FILES = 65536
_OWN_FILES = 200


class Served:
    """What a worker serves: the connections to `app`, the tasks that serve their requests, the heads these had.

    `most`: how many connections it takes.
    """

    def __init__(self, app: Any, most: int) -> None:
        self.app = app
        self.most = most
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.heads = Heads()
        self.at_once: Callable[[Cycle], bool] | None = None
        """Asked first for each request whose body is whole: whether the application takes it. It then answers by the
        cycle, now or later, and no task is made; what is to wait goes on in one by `Cycle.go_on`."""

    def waiting(self) -> list["Cycle"]:
        """The requests that were taken at once, have no task, and are not answered."""
        running = (one.running for one in self.connections)
        return [cycle for cycle in running if cycle is not None and cycle.task is None and not cycle.answered]


def sweep(connections: Iterable["Connection"], now: float) -> None:
    """Look at each connection whose time has come, by the loop's clock; to be called about once a second."""
    for one in [one for one in connections if one.due < now]:
        one.sweep(now)


def most_connections() -> int:
    """How many connections this worker takes: each may need a file for the client's and one for the upstream's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = _FILES if soft == resource.RLIM_INFINITY else soft
    return max((files - _OWN_FILES) // 2, 50)
