"""One upstream as a worker uses it: its connections, its circuit breaker, and how its requests are addressed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from farthing.gateway.breaker import Breaker
from farthing.gateway.client import Origin, Pool, Request
from farthing.gateway.client.proxy import proxy_for
from farthing.gateway.config.values import Upstream as Settings
from farthing.gateway.hiding import Hiding
from farthing.gateway.http import FORWARDED
from farthing.gateway.metering import Surface
from farthing.gateway.process.head_lines import fit_value

if TYPE_CHECKING:
    from farthing.gateway.observe.spans import Trace

_VERSION = b"anthropic-version: 2023-06-01\r\n"  # of Anthropic's API, which refuses a request that names none
_OTHERS = (b"anthropic-", b"openai-")
_PARENT = b"traceparent"


class Upstream:
    """Where requests go, with what stays open between them. Made anew when the configuration changes.

    Raises `FarthingError` for a proxy in the environment that cannot be used.
    """

    def __init__(self, settings: Settings, breaker: Breaker) -> None:
        self.settings = settings
        self.name = settings.name
        self.provider = settings.provider
        self.protocol = settings.protocol
        self.breaker = breaker
        self.in_flight = 0
        self._origin = Origin(settings.url, proxy_for(settings.url))
        self._pool: Pool | None = None
        self._query = "?" + "&".join(f"{name}={value}" for name, value in settings.query) if settings.query else ""
        always = [("accept-encoding", "identity"), *settings.headers]
        secret = settings.key.reveal() if settings.key else ""
        self.hiding = Hiding(secret)
        if secret and settings.auth != "none":
            bearer = settings.auth == "bearer"
            always.append(("authorization", f"Bearer {secret}") if bearer else (settings.auth, secret))
        self._always = b"".join(_line(name.encode(), value.encode("latin-1", "replace")) for name, value in always)
        named = {name.lower().encode() for name, _ in always}
        self._passed = FORWARDED - named
        self._passed_translated = frozenset(name for name in self._passed if not name.startswith(_OTHERS))
        self._versioned = self.protocol != "anthropic" or b"anthropic-version" in named
        self._starts: dict[str, bytes] = {}

    def open(self) -> Pool:
        """The connections, none of them made yet. The first call reads the certificates, which takes milliseconds."""
        if self._pool is None:
            self._pool = Pool(self._origin, self.settings.timeouts.connect_s)
        return self._pool

    async def close(self) -> None:
        """Let go of the connections."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def target(self, path: str) -> bytes:
        """What a request line says for `path` ("chat/completions"), which is fit for an address: path and query."""
        return f"{self._origin.base}/{path}{self._query}".encode()

    def lines(self, client: Mapping[bytes, bytes], *, translated: bool = False, traced: bool = False) -> bytes:
        """The header lines of a request that are the same for all its attempts: the configured ones, and of the
        client's those that may pass.

        A translated request carries nothing of the other protocol's, a traced one a `traceparent` of ours. Of the last
        line there is half: the attempt's id is to follow.
        """
        passed = self._passed_translated if translated else self._passed
        made = [self._always]
        for name, value in client.items():
            if name in passed and fit_value(value) and not (traced and name == _PARENT):
                made.append(_line(name, value))
        if not self._versioned and (translated or b"anthropic-version" not in client):
            made.append(_VERSION)
        made.append(b"x-farthing-attempt-id: ")
        return b"".join(made)

    def post(self, path: str, lines: bytes, attempt: str, body: bytes, trace: "Trace | None" = None) -> Request:
        """A request with JSON in it. `path` is of a surface; `lines` as `lines` made them; the attempt is a span of
        `trace`, if that is given."""
        start = self._starts.get(path)
        if start is None:
            start = self._starts[path] = self._origin.start("POST", self.target(path))
        if trace is not None:
            lines = _line(_PARENT, trace.header(attempt).encode()) + lines
        return (self._pool or self.open()).post(start, lines, body, attempt)

    def answers(self, surface: Surface) -> bool:
        """Whether it answers `surface` itself."""
        return surface.value in self.settings.surfaces


def _line(name: bytes, value: bytes) -> bytes:
    return b"%b: %b\r\n" % (name, value)
