"""The layers of the house hold in compiled modules too, which import-linter does not read."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NATIVE = sorted([*ROOT.glob("src/**/*.pyx"), *ROOT.glob("src/**/*.pxd")])
_NAMED = re.compile(r"^(?:from|c?import) (farthing[\w.]*)", re.MULTILINE)
_SHARED = ("farthing.struct_fields", "farthing.clocks")
"""C helpers, which use nothing of ours: any layer may."""


def layers() -> list[list[str]]:
    """Of the house, the lowest first."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [[name.strip() for name in layer.split("|")] for layer in reversed(told[0]["layers"])]


def layer_of(module: str) -> int:
    if module in _SHARED:
        return -1
    found = [at for at, names in enumerate(layers()) for name in names if f"{module}.".startswith(f"{name}.")]
    assert len(found) == 1, f"{module} is in no layer"
    return found[0]


@pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.name)
def test_a_compiled_module_uses_no_layer_above_its_own(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    for used in _NAMED.findall(path.read_text()):
        assert layer_of(used) <= layer_of(module), f"{module} uses {used}"
