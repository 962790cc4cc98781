"""What the lines that `up` and `keys create` print have in common: the address, a model to ask for, our own name."""

import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farthing.gateway.config.values import Config

_EXAMPLES = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}


def base_url(host: str, port: int) -> str:
    """The address to give to a client on this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def some_models(config: "Config") -> list[str]:
    """Names that can be asked for: aliases, listed models, then one that each provider is known to have."""
    names = [alias.name for alias in config.models]
    names += [one.name for upstream in config.upstreams for one in upstream.served]
    names += [name for upstream in config.upstreams for name in upstream.models]
    plain = [name for name in names if not any(mark in name for mark in "*?[")]
    return plain + [f"{u.name}/{_EXAMPLES[u.preset]}" for u in config.upstreams if u.preset in _EXAMPLES]


def called() -> str:
    """How this program is started from here: its name where that is on the PATH, else the path that it was called by."""
    path = sys.argv[0] if sys.argv else ""
    name = os.path.basename(path)
    if name == "__main__.py":
        return f"{os.path.basename(sys.executable)} -m farthing" if shutil.which("farthing") is None else "farthing"
    if name != "farthing" or shutil.which("farthing") or os.sep not in path:
        return "farthing"
    beside = os.path.relpath(path)
    return path if beside.startswith("..") else beside
