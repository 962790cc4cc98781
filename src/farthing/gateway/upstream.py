"""One upstream as a worker uses it: its client, its circuit breaker, and how its requests are addressed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from farthing.gateway.breaker import Breaker
from farthing.gateway.config.values import Upstream as Settings
from farthing.gateway.hiding import Hiding
from farthing.gateway.http import FORWARDED
from farthing.gateway.metering import Surface

if TYPE_CHECKING:
    from pyreqwest.client import Client

    from farthing.gateway.observe.spans import Trace

_IDLE_S = 20
_VERSION = "2023-06-01"  # of Anthropic's API, which refuses a request that names none


class Upstream:
    """Where requests go, with what stays open between them. Made anew when the configuration changes."""

    def __init__(self, settings: Settings, breaker: Breaker) -> None:
        self.settings = settings
        self.name = settings.name
        self.provider = settings.provider
        self.protocol = settings.protocol
        self.breaker = breaker
        self.in_flight = 0
        self._client: Client | None = None
        self._query = "?" + "&".join(f"{name}={value}" for name, value in settings.query) if settings.query else ""
        self._always = [("accept-encoding", "identity"), *settings.headers]
        secret = settings.key.reveal() if settings.key else ""
        self.hiding = Hiding(secret)
        if secret and settings.auth != "none":
            bearer = settings.auth == "bearer"
            self._always.append(("authorization", f"Bearer {secret}") if bearer else (settings.auth, secret))
        self._named = {name.lower() for name, _ in self._always}

    def open(self) -> "Client":
        """The HTTP client, made at the first call: reading the certificates takes milliseconds."""
        if self._client is None:
            from pyreqwest.client import ClientBuilder

            builder = ClientBuilder().follow_redirects(False).error_for_status(False)
            builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).referer(False)
            # A server that closes an idle connection just as it is used again fails a request that cannot safely be
            # repeated; most wait for a minute, so we let go first.
            builder = builder.pool_idle_timeout(timedelta(seconds=_IDLE_S)).tcp_nodelay(True)
            self._client = builder.connect_timeout(timedelta(seconds=self.settings.timeouts.connect_s)).build()
        return self._client

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def url(self, path: str) -> str:
        """The address of `path` ("chat/completions")."""
        return f"{self.settings.url}/{path}{self._query}"

    def headers(
        self, client: Mapping[bytes, bytes], attempt: str, translated: bool, trace: "Trace | None" = None
    ) -> list[tuple[str, str]]:
        """The headers of a request: the configured ones, and of the client's those that may pass.

        A translated request carries nothing of the other protocol's. `trace`: the attempt is a span of it.
        """
        made = [*self._always, ("x-farthing-attempt-id", attempt)]
        named = self._named
        for name, value in client.items():
            if name in FORWARDED:
                text = name.decode("ascii")
                if text not in named and not (translated and text.startswith(("anthropic-", "openai-"))):
                    made.append((text, value.decode("latin-1")))
        if trace is not None:
            made = [(name, value) for name, value in made if name != "traceparent"]
            made.append(("traceparent", trace.header(attempt)))
        versioned = "anthropic-version" in named or (not translated and b"anthropic-version" in client)
        if self.protocol == "anthropic" and not versioned:
            made.append(("anthropic-version", _VERSION))
        return made

    def request(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None, kind: str) -> Any:
        """A request whose answer is streamed, for `async with`."""
        builder = self.open().request(method, url).headers(headers).streamed_read_buffer_limit(0)
        if body is not None:
            builder = builder.header("content-type", kind).body_bytes(body)
        return builder.build_streamed()

    def answers(self, surface: Surface) -> bool:
        """Whether it answers `surface` itself."""
        return surface.value in self.settings.surfaces
