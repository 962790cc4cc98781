"""Installs the peers that are named (or all) into environments of their own: `python -m benchmarks.gateway.install`."""

import subprocess
import sys

from benchmarks.gateway.contenders import CACHE

PYTHON_PACKAGES = {
    "litellm": ["litellm[proxy]==1.106.2", "opentelemetry-sdk", "httptools", "uvloop", "prometheus-client"],
    "smg": ["smg==1.13.0"],
    "ferrogw": ["ferrogw==1.5.10"],
}
"""The versions that the figures in the README are of. opentelemetry-sdk and httptools stand beside LiteLLM because
without them it takes its slow ways, and the comparison would be unfair."""
NPM_PACKAGES = {"portkey": "@portkey-ai/gateway@1.15.2"}


def install(name: str) -> None:
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    if name in NPM_PACKAGES:
        options = ["--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(["npm", "install", *options, "--prefix", str(folder), NPM_PACKAGES[name]], check=True)
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *PYTHON_PACKAGES[name]], check=True)


def main() -> None:
    for name in sys.argv[1:] or (*PYTHON_PACKAGES, *NPM_PACKAGES):
        print(f"{name} → {CACHE / name}", flush=True)
        install(name)


if __name__ == "__main__":
    main()
