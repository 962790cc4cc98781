"""What every test has: compiled modules that are as new as their sources, and a cache folder of the run's own, so that
none writes into the user's."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_sessionstart() -> None:
    source = Path(__file__).parents[1] / "src"
    typed = [typed for typed in source.rglob("*.pxd") if typed.with_suffix(".py").exists()]
    for one in [*source.rglob("*.pyx"), *typed]:
        made = [made.stat().st_mtime for made in one.parent.glob(f"{one.stem}.*.so")]
        from_ = [part for end in (".py", ".pyx", ".pxd") if (part := one.with_suffix(end)).exists()]
        if not made or max(made) < max(part.stat().st_mtime for part in from_):
            pytest.exit(f"{one.relative_to(source)} is newer than what was compiled of it: `make setup`", 3)


@pytest.fixture(scope="session", autouse=True)
def _cache() -> Iterator[None]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = folder
        yield
        if before is None:
            os.environ.pop("XDG_CACHE_HOME", None)
        else:
            os.environ["XDG_CACHE_HOME"] = before
