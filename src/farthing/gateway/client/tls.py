"""Whom we trust: the certificate authorities of the system."""

import importlib
import ssl
from functools import lru_cache
from pathlib import Path

_USUAL = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
)  # fmt: skip
"""Where systems keep their authorities: those of Debian, Fedora, openSUSE, RHEL, and Alpine or macOS."""


@lru_cache(1)
def context() -> ssl.SSLContext:
    """The settings of TLS, one for all upstreams (reading the certificates takes some twenty milliseconds).

    The authorities that OpenSSL finds, so those that SSL_CERT_FILE and SSL_CERT_DIR name; where it finds none (a Python
    that was built for another system), those of a usual place, or of the package certifi if that is installed.
    HTTP/1.1 alone is offered.
    """
    made = ssl.create_default_context()
    made.set_alpn_protocols(["http/1.1"])
    made.options |= ssl.OP_NO_RENEGOTIATION  # `secure` shakes hands once
    folder = ssl.get_default_verify_paths().capath
    if not made.cert_store_stats()["x509_ca"] and not (folder and any(Path(folder).glob("*.0"))):
        found = next((place for place in _USUAL if Path(place).is_file()), None) or _bundled()
        if found is not None:
            made.load_verify_locations(found)
    return made


def _bundled() -> str | None:
    try:
        return str(importlib.import_module("certifi").where())
    except ImportError:
        return None  # every connection then says that its certificate is refused, and why
