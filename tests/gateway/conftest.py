"""The faulty upstream, and a gateway in front of it, for the tests that ask for them: one of each a module."""

from collections.abc import Iterator

import pytest

from tests.gateway.asking import CONFIG
from tests.gateway.faulty import Upstream
from tests.gateway.running import Running


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as running:
        yield running
