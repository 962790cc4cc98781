"""The listening sockets: bound by the supervisor before anything else, so that a port in use stops nothing half-way."""

import errno
import os
import socket
import sys
from typing import Any

from farthing.problems import FarthingError

BACKLOG = 2048
_KEEP_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
Sockets = list[socket.socket]


def listen(host: str, port: int, workers: int) -> list[Sockets]:
    """For each worker its own sockets at `host`:`port` (0: a free one, the same for all), listening.

    A socket a worker (SO_REUSEPORT) spreads connections evenly: of 64 at once on one shared socket, one of two
    workers accepted 64 (libuv accepts until none is left). The supervisor keeps them all open, so that what waits in
    the queue of a worker that dies is taken by the one after it. Where the system does not spread them (anything but
    Linux), the workers share one. Raises `FarthingError` for what cannot be bound.
    """
    spread = sys.platform == "linux" and workers > 1
    addresses = _resolved(host, port)
    groups: list[Sockets] = [[] for _ in range(workers)]
    why: OSError | None = None
    for family, address in addresses:
        try:
            # Without SO_REUSEPORT first: with it, a second gateway of the same user would join in unnoticed.
            alone = _bound(family, (address[0], port, *address[2:]), shared=False)
            bound = alone.getsockname()
            port = bound[1]  # the same for all addresses where a free one was asked for
            if not spread:
                for group in groups:
                    group.append(alone)
                alone.listen(BACKLOG)
                continue
            alone.close()
            for group in groups:
                group.append(_bound(family, bound, shared=True))
                group[-1].listen(BACKLOG)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and len(addresses) > 1:
                why = error  # "localhost" names an IPv6 address on machines that have none
                continue
            close(groups)
            raise _refused(host, port, error) from None
    if not any(groups):
        raise _refused(host, port, why or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)))
    return groups


def port_of(groups: list[Sockets]) -> int:
    """The port they listen at."""
    port: int = groups[0][0].getsockname()[1]
    return port


def _resolved(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise FarthingError(f"--host {host!r} is no address of this machine: {said} (try 127.0.0.1)") from None
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def _bound(family: int, address: tuple[Any, ...], *, shared: bool) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted connections inherit it: a client that vanished is noticed, and what it asked for ends.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE:
            if hasattr(socket, name):
                one.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        one.setblocking(False)
        one.bind(address)
    except BaseException:
        one.close()
        raise
    return one


def _refused(host: str, port: int, error: OSError) -> FarthingError:
    repairs = {
        errno.EADDRINUSE: "something listens there already, perhaps another gateway; choose another with --port",
        errno.EACCES: "ports below 1024 are for root; choose another with --port",
        errno.EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
    }
    said = repairs.get(error.errno or 0) or error.strerror or str(error)
    return FarthingError(f"cannot listen at {host} port {port}: {said}")


def close(groups: list[Sockets]) -> None:
    """Close them all: nothing is accepted any more by this process."""
    for group in groups:
        for one in group:
            one.close()
