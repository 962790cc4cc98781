"""Two gateways for all of these tests: one without keys, one of two workers with keys."""

from collections.abc import Iterator

import pytest

from tests.gateway.faulty import Upstream
from tests.gateway.running import IMPATIENT, UPSTREAMS, Running

CONFIG = (
    UPSTREAMS
    + IMPATIENT
    + """
[retries]
count = 1
first_s = 0.01
most_s = 2

[breaker]
failures = 100000

[[upstream]]
name = "router"
provider = "openrouter"
protocol = "openai"
url = "{url}/v1"
key_env = "TEST_OPENAI_KEY"
models = ["vendor/*"]
surfaces = ["chat/completions", "embeddings"]

[[upstream]]
name = "gemini"
provider = "google"
protocol = "openai"
url = "{url}/v1"
key_env = "TEST_OPENAI_KEY"
models = ["gemini-*"]
surfaces = ["chat/completions"]

[[model]]
name = "either"
targets = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"]

[[model]]
name = "team/chat-70b"
targets = ["openai/gpt-4o-mini"]
"""
)
ALL = """
[[budget]]
per = "all"
usd = 1000
period = "total"
"""


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="package")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("open"), CONFIG + ALL, upstream.url) as running:
        yield running


@pytest.fixture(scope="package")
def keyed(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Keys are needed; two workers."""
    config = '[gateway]\nkeys = "required"\n' + CONFIG
    with Running(tmp_path_factory.mktemp("keyed"), config, upstream.url, workers=2) as running:
        yield running
