"""Where an upstream is, and how: its address, the proxy before it, and the first lines of its requests."""

from urllib.parse import urlsplit

from farthing.gateway.client.proxy import Proxy

_PORTS = {"http": 80, "https": 443}


class Origin:
    """`host` and `port` to be reached over TLS or not (`tls`), through `proxy` or directly.

    `base`: the path of the address, which goes before every path. `authority`: what the Host header says.
    """

    __slots__ = ("_lines", "_prefix", "authority", "base", "host", "port", "proxy", "tls")

    def __init__(self, url: str, proxy: Proxy | None = None) -> None:
        """`url`: an http or https address, which `config.address` has found right."""
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS.get(parts.scheme, 80)
        self.base = parts.path.rstrip("/")
        self.proxy = proxy
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = name if self.port == _PORTS.get(parts.scheme, 80) else f"{name}:{self.port}"
        forwarded = proxy is not None and not self.tls  # the proxy reads the request, and must know where it goes
        self._prefix = f"http://{self.authority}".encode() if forwarded else b""
        self._lines = b" HTTP/1.1\r\nhost: " + self.authority.encode() + b"\r\n"
        if forwarded and proxy is not None and proxy.credentials:
            self._lines += b"proxy-authorization: " + proxy.credentials + b"\r\n"

    def start(self, method: str, target: bytes) -> bytes:
        """The first lines of a request: method, target (path and query, fit for one) and Host."""
        return b"%s %s%s%s" % (method.encode(), self._prefix, target, self._lines)
