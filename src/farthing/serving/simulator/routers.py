"""Which replica a request goes to, of several, when it arrives."""

from collections.abc import Callable, Sequence

from farthing.problems import FarthingError
from farthing.serving.simulator.replica import Replica

Router = Callable[[int, Sequence[Replica]], Replica]
"""(request, replicas, all as they are at its arrival) -> the one it goes to."""

_IMBALANCE = 32  # requests more than the least busy replica has, from which on affinity gives way


def round_robin() -> Router:
    """To each in turn."""
    turn = -1

    def choose(request: int, replicas: Sequence[Replica]) -> Replica:
        nonlocal turn
        turn = (turn + 1) % len(replicas)
        return replicas[turn]

    return choose


def least() -> Router:
    """To the one with the fewest requests that have not ended; of equals, the first."""
    return lambda request, replicas: min(replicas, key=_outstanding)


def prefix() -> Router:
    """To the one whose cache has the most of the prompt, unless it is far busier than the least busy one.

    Without a hit, or over that imbalance (32 requests), to the least busy one.
    """

    def choose(request: int, replicas: Sequence[Replica]) -> Replica:
        idlest = min(replicas, key=_outstanding)
        most, best = 0, idlest
        for replica in replicas:
            hit = replica.cached_blocks(request)
            if hit > most or (hit == most and replica.outstanding < best.outstanding):
                most, best = hit, replica
        return best if best.outstanding - idlest.outstanding <= _IMBALANCE else idlest

    return choose


def _outstanding(replica: Replica) -> int:
    return replica.outstanding


ROUTERS: dict[str, Callable[[], Router]] = {"round-robin": round_robin, "least": least, "prefix": prefix}


def router(name: str) -> Router:
    """A new router by its name. Raises `FarthingError` naming those that exist."""
    if name not in ROUTERS:
        raise FarthingError(f"unknown router {name!r}; there are: {', '.join(ROUTERS)}")
    return ROUTERS[name]()
