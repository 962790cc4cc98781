"""What the lines that `up` and `keys create` print have in common: the address, a model to ask for, our own name."""

import os
import shlex
import shutil
import sys
from pathlib import Path
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
    """How this program is started from here: by its name where that is on the PATH, else by the path it was called."""
    path = Path(sys.argv[0] if sys.argv else "farthing")
    on_path = shutil.which("farthing") is not None
    if path.name == "__main__.py" and path.parent.name == "farthing" and not on_path:
        return f"{sys.executable} -m farthing"
    if path.name != "farthing" or on_path or len(path.parts) == 1:
        return "farthing"
    beside = os.path.relpath(path)
    return shlex.quote(str(path) if beside.startswith("..") else beside)
