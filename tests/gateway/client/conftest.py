"""Certificates, made by the openssl command."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farthing.gateway.client import tls

_MAKE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test -days"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates, each its own authority: good, for 127.0.0.1, and other, for another name (.pem and .key)."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not here")
    made = tmp_path_factory.mktemp("certificates")
    for name, days, of in (("good", "2", "IP:127.0.0.1"), ("other", "2", "DNS:other.example")):
        command = [*_MAKE.split(), days, "-addext", f"subjectAltName={of}"]
        command += ["-keyout", str(made / f"{name}.key"), "-out", str(made / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture
def trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "good.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()
