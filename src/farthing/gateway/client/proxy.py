"""The proxy that the environment names for an upstream: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, and NO_PROXY."""

import base64
import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from farthing.problems import FarthingError


class Proxy(NamedTuple):
    """An HTTP proxy. `credentials`: the value of Proxy-Authorization, b"" for none."""

    host: str
    port: int
    credentials: bytes = b""


def proxy_for(url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy through which `url` is reached; None for none, which is always so for this machine itself.

    A name in lower case goes before the same one in capitals. Raises `FarthingError` for a proxy that we cannot use.
    """
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    name, stated = _stated(f"{parts.scheme}_proxy", environ)
    if not stated or _is_local(host) or _is_exempt(host, port, _stated("no_proxy", environ)[1]):
        return None
    return _parsed(name, stated)


def _stated(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The name of the variable that says it, and what it says."""
    for one in (name, "all_proxy") if name != "no_proxy" else (name,):
        for written in (one, one.upper()):
            if written == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
                continue  # under CGI a client's header Proxy would set it
            if value := environ.get(written, "").strip():
                return written, value
    return name, ""


def _parsed(name: str, stated: str) -> Proxy:
    try:
        parts = urlsplit(stated if "://" in stated else "http://" + stated)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme != "http" or not host:
        shown = f"{parts.scheme}:" if parts.scheme not in ("http", "") else "no address"
        raise FarthingError(
            f"{name}: {shown} is no proxy that the gateway can use: write http://HOST:PORT, or name the upstream's "
            "host in NO_PROXY"
        )
    given = ""
    if parts.username is not None:
        given = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    credentials = b"Basic " + base64.b64encode(given.encode()) if given else b""
    return Proxy(host, port or 80, credentials)


def _is_local(host: str) -> bool:
    """Whether `host` is this machine, which a proxy elsewhere cannot mean by that name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    found = _ip(host)
    return found is not None and found.is_loopback


def _is_exempt(host: str, port: int, stated: str) -> bool:
    """Whether NO_PROXY names `host`: `*`, a name and those below it, an address, or a network (10.0.0.0/8)."""
    found = _ip(host)
    for entry in (one.strip().lower() for one in stated.split(",")):
        if entry == "*":
            return True
        name, colon, only = entry.rpartition(":")
        if colon and only.isdigit() and ":" not in name.strip("[]"):
            if int(only) != port:
                continue
            entry = name
        entry = entry.strip("[]")
        if not entry:
            continue
        if found is not None:
            try:
                if found in ipaddress.ip_network(entry, strict=False):
                    return True
            except (ValueError, TypeError):
                continue
        elif host == entry.lstrip("*.") or host.endswith("." + entry.lstrip("*.")):
            return True
    return False


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
