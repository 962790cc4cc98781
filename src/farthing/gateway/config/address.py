"""Addresses of upstreams: what is allowed as one, what is this machine, what is a private network."""

import ipaddress
import re
import socket
from urllib.parse import SplitResult, quote, urlsplit

_PRIVATE_ENDINGS = (".local", ".internal", ".localhost", ".lan", ".home.arpa", ".svc", ".cluster.local")
_EVERY = ("0.0.0.0", "::", "")
_SURFACE = re.compile(r"/(chat/completions|completions|responses|embeddings|messages|models)$")


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_loopback(host: str) -> bool:
    """Whether `host` means this machine, to itself alone. "0.0.0.0" and "::" do not."""
    name = host.casefold().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    found = _ip(name)
    return found is not None and found.is_loopback


def is_private(host: str) -> bool:
    """Whether `host` is this machine or of a private network: a private address, a name without a dot or of a private
    ending. Link-local addresses (those of clouds' metadata services among them) are not."""
    name = host.casefold().rstrip(".")
    found = _ip(name)
    if found is None:
        return is_loopback(name) or "." not in name or name.endswith(_PRIVATE_ENDINGS)
    return found.is_loopback or (found.is_private and not found.is_link_local and not found.is_unspecified)


def wrong_with(url: str, insecure: bool = False) -> tuple[str, str] | None:
    """Why `url` cannot be an upstream's base address, and the repair; None where it can."""
    if not url.isascii() or any(mark <= " " or mark in '\\"<>{}|^`\x7f' for mark in url):
        return "holds characters that an address cannot hold", "such as https://api.openai.com/v1"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no address: {error}", "such as https://api.openai.com/v1"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is not an http or https address", "such as https://api.openai.com/v1"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password", 'keys come from the environment: key_env = "NAME"'
    if parts.query or parts.fragment or "?" in url or "#" in url:
        return "holds a query or fragment", 'write query = { NAME = "VALUE" }'
    if surface := _SURFACE.search(parts.path.rstrip("/")):
        return f"ends with {surface[0]}", "write the base alone: the gateway adds each surface's path"
    if ".." in parts.path.split("/"):
        return "holds '..'", "write the path that is meant"
    if parts.scheme == "http" and not insecure and not is_private(parts.hostname):
        return "would send the key and prompts in the clear", "use https, or write insecure = true"
    return None


def lacks_path(url: str) -> bool:
    """Whether `url` is a bare host: most servers answer under /v1. A final slash says that the root is meant."""
    return urlsplit(url).path == ""


def is_own(url: str, host: str, port: int) -> bool:
    """Whether `url` leads back to the gateway that listens at `host` and `port`."""
    parts = urlsplit(url)
    theirs = _port(parts)
    name = (parts.hostname or "").casefold().rstrip(".")
    if theirs != port:
        return False
    listening = host.casefold().strip("[]")
    if name == listening or (is_loopback(name) and (is_loopback(listening) or listening in _EVERY)):
        return True
    return listening in _EVERY and name in ("0.0.0.0", "::", socket.gethostname().casefold())


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def encoded(text: str) -> str:
    """`text` as a name or value of a query."""
    return quote(text, safe="")
