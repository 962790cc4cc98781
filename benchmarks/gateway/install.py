"""Installs the peers that are named (or all) into environments of their own: `python -m benchmarks.gateway.install`."""

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from benchmarks.gateway.contenders import CACHE

PYTHON_PACKAGES = {
    "litellm": ["litellm[proxy]==1.106.2", "opentelemetry-sdk", "httptools", "uvloop", "prometheus-client"],
    "smg": ["smg==1.13.0"],
    "ferrogw": ["ferrogw==1.5.10"],
}
"""The versions that the figures in the README are of. opentelemetry-sdk and httptools stand beside LiteLLM because
without them it takes its slow ways, and the comparison would be unfair."""
NPM_PACKAGES = {"portkey": "@portkey-ai/gateway@1.15.2"}
PRISMA_CLIENT, PRISMA_CLI = "prisma==0.11.0", "prisma@5.4.2"
"""The client that LiteLLM's own images take, and the CLI that this client takes."""
ENGINE, ENGINE_FILE = "@prisma/internals@4.7.1", "libquery_engine-debian-openssl-1.1.x.so.node"
"""The last package of the npm registry in which Prisma published its query engine. Linux on x86-64 only."""
OPENSSL = "psycopg2-binary==2.9.9"
"""A wheel that carries OpenSSL 1.1, which the engine is linked with and Debian 12 no longer has."""
_NPM = ["--ignore-scripts", "--no-audit", "--no-fund"]


def install(name: str) -> None:
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    if name == "litellm-db":
        _install_database(folder)
        return
    if name in NPM_PACKAGES:
        subprocess.run(["npm", "install", *_NPM, "--prefix", str(folder), NPM_PACKAGES[name]], check=True)
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    _pip(folder, "install", "--quiet", *PYTHON_PACKAGES[name])


def _pip(environment: Path, *what: str) -> None:
    python = str(environment / "bin" / "python")
    subprocess.run([python, "-m", "pip", what[0], "--disable-pip-version-check", *what[1:]], check=True)


def _install_database(folder: Path) -> None:
    """What LiteLLM needs to reach a database, beside LiteLLM (installed first where it is not there)."""
    from benchmarks.gateway.litellm_db import environ

    litellm = CACHE / "litellm"
    if not (litellm / "bin" / "pip").exists():
        install("litellm")
    _pip(litellm, "install", "--quiet", PRISMA_CLIENT)
    subprocess.run(["npm", "install", *_NPM, "--prefix", str(folder / "cli"), PRISMA_CLI], check=True)
    with tempfile.TemporaryDirectory() as name:
        _take_engine(Path(name), folder / "lib")
        _take_openssl(litellm, Path(name), folder / "lib")
    program = folder / "query-engine"
    made = program.with_suffix(".new")  # `program` says that all is there: it gets its name last
    shutil.copy(Path(__file__).with_name("query_engine.js"), folder)
    made.write_text(_launcher(folder / "lib", folder / "query_engine.js"))
    made.chmod(0o755)
    subprocess.run([str(made), "--version"], check=True)
    schema = next(litellm.glob("lib/python3*/site-packages/litellm_proxy_extras/schema.prisma"))
    settings = {**os.environ, **environ(folder), "PRISMA_QUERY_ENGINE_BINARY": str(made)}
    settings["PATH"] = f"{litellm / 'bin'}:{os.environ['PATH']}"  # the CLI runs the client's generator by its name
    subprocess.run([str(litellm / "bin" / "prisma"), "generate", "--schema", str(schema)], env=settings, check=True)
    made.rename(program)


def _take_engine(work: Path, into: Path) -> None:
    subprocess.run(["npm", "pack", "--silent", "--pack-destination", str(work), ENGINE], check=True)
    into.mkdir(exist_ok=True)
    with tarfile.open(next(work.glob("*.tgz"))) as package:
        found = package.extractfile(f"package/dist/{ENGINE_FILE}")
        assert found is not None
        with found, (into / ENGINE_FILE).open("wb") as file:
            shutil.copyfileobj(found, file)


def _take_openssl(environment: Path, work: Path, into: Path) -> None:
    """The wheel's two libraries, libcrypto under the name that its libssl asks for, both under their own too."""
    wanted = ["--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--only-binary", ":all:"]
    _pip(environment, "download", "--quiet", "--no-deps", *wanted, "--dest", str(work), OPENSSL)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        for member in wheel.namelist():
            name = Path(member).name
            if name.startswith(("libssl-", "libcrypto-")):
                (into / name).write_bytes(wheel.read(member))
                link = into / f"{name.split('-')[0]}.so.1.1"
                link.unlink(missing_ok=True)
                link.symlink_to(name)


def _launcher(libraries: Path, face: Path) -> str:
    settings = {"LD_LIBRARY_PATH": libraries, "ENGINE_LIBRARY": libraries / ENGINE_FILE}
    words = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in settings.items())
    return f'#!/bin/sh\n{words} exec node {shlex.quote(str(face))} "$@"\n'


def main() -> None:
    for name in sys.argv[1:] or (*PYTHON_PACKAGES, *NPM_PACKAGES, "litellm-db"):
        print(f"{name} → {CACHE / name}", flush=True)
        install(name)


if __name__ == "__main__":
    main()
