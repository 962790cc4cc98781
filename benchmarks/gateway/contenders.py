"""Who is measured: Farthing, and others with as much on as they have, LiteLLM with and without its database.

Others live in environments of their own under `~/.cache/farthing-bench` (or $FARTHING_BENCH), installed by
`python -m benchmarks.gateway.install` from the ordinary package registries; those that are not there are left out.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

CACHE = Path(os.environ.get("FARTHING_BENCH", Path.home() / ".cache" / "farthing-bench"))
MODEL = "gpt-4o-mini"
MASTER = "fgw_0123456789abcdef0123456789abcdef"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How a gateway is started in front of the mock, and how a client calls it."""

    command: Sequence[str]
    ready: str
    environ: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    path: str = "/v1/chat/completions"


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """`on`: what it does to a request here; `program`: what must be there; `setup` gets a folder of the run's own, the
    port to listen on and the mock's port."""

    name: str
    on: str
    program: Path
    setup: Callable[[Path, int, int], Setup]

    @property
    def installed(self) -> bool:
        return self.program.exists()


def _farthing(folder: Path, port: int, upstream: int) -> Setup:
    config = folder / "farthing.toml"
    config.write_text(
        f"""
[gateway]
keys = "required"

[[upstream]]
name = "mock"
provider = "openai"
protocol = "openai"
url = "http://127.0.0.1:{upstream}/v1"
key_env = "MOCK_KEY"

[[budget]]
per = "all"
usd = 1000000
period = "month"

[[budget]]
per = "key"
usd = 100000
period = "day"

[[limit]]
per = "key"
requests_per_minute = 100000000
tokens_per_minute = 100000000000
concurrent = 100000
"""
    )
    data = folder / "data"
    from farthing.ledger.keys import KeyBudget, Keys

    with Keys(data, create=True) as keys:
        _, token = keys.create("bench", budgets=[KeyBudget(usd=Decimal(1_000_000), period="month")])
    options = ["--config", str(config), "--port", str(port), "--workers", "1", "--data", str(data)]
    return Setup(
        command=[sys.executable, "-m", "farthing", "up", *options],
        ready="/readyz",
        environ={"MOCK_KEY": "sk-mock"},
        headers={"authorization": f"Bearer {token}", "x-farthing-feature": "bench", "x-farthing-user": "someone"},
    )


def _bare(folder: Path, port: int, upstream: int) -> Setup:
    return Setup(
        command=[sys.executable, "-m", "benchmarks.gateway.bare", str(port)],
        ready="/",
        environ={
            "MOCK_URL": f"http://127.0.0.1:{upstream}/v1/chat/completions",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )


def _litellm(folder: Path, port: int, upstream: int, general: Mapping[str, object] | None = None) -> Setup:
    config = {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": f"http://127.0.0.1:{upstream}/v1",
                    "api_key": "sk-mock",
                    "rpm": 100_000_000,
                    "tpm": 100_000_000_000,
                },
            }
        ],
        "general_settings": {"master_key": "sk-master", **(general or {})},
        "litellm_settings": {
            "num_retries": 2,
            "request_timeout": 60,
            "max_budget": 1_000_000,
            "budget_duration": "30d",
            "callbacks": ["prometheus"],
        },
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    program = CACHE / "litellm" / "bin"
    options = ["--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Setup(
        command=[str(program / "litellm"), *options, "--telemetry", "False"],
        ready="/health/readiness",
        environ={
            "PATH": f"{program}:{os.environ['PATH']}",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
        },
        headers={"authorization": "Bearer sk-master"},
    )


def _litellm_db(folder: Path, port: int, upstream: int) -> Setup:
    from benchmarks.gateway.litellm_db import KEY, Database, environ

    database = Database(CACHE / "litellm")
    plain = _litellm(folder, port, upstream, {"disable_prisma_schema_update": True})
    settings = {**plain.environ, **environ(CACHE / "litellm-db"), "DATABASE_URL": database.url}
    setup = msgspec.structs.replace(plain, environ=settings, headers={"authorization": f"Bearer {KEY}"})
    database.make_key(setup.command, port, setup.ready, settings, folder)
    return setup


def _portkey(folder: Path, port: int, upstream: int) -> Setup:
    config = {
        "provider": "openai",
        "api_key": "sk-mock",
        "custom_host": f"http://127.0.0.1:{upstream}/v1",
        "retry": {"attempts": 2},
    }
    server = CACHE / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    return Setup(
        command=["node", str(server), f"--port={port}", "--headless"],
        ready="/",
        environ={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers={"x-portkey-config": json.dumps(config)},
    )


def _smg(folder: Path, port: int, upstream: int) -> Setup:
    options = ["--worker-urls", f"http://127.0.0.1:{upstream}", "--backend", "openai", "--host", "127.0.0.1"]
    options += ["--port", str(port), "--prometheus-port", str(port + 1), "--history-backend", "none"]
    options += ["--api-key", "sk-master", "--log-level", "warn", "--rate-limit-tokens-per-second", "1000000"]
    return Setup(
        command=[str(CACHE / "smg" / "bin" / "smg"), "launch", *options],
        ready="/readiness",
        headers={"authorization": "Bearer sk-master"},
    )


def _ferrogw(folder: Path, port: int, upstream: int) -> Setup:
    prices = {"spend_limit_usd": 1_000_000, "input_per_m_tokens": 0.15, "output_per_m_tokens": 0.60}
    plugins = [
        {"name": "rate-limit", "stage": "before_request", "config": {"requests_per_second": 1_000_000, "key_rpm": 1e8}},
        {"name": "budget", "stage": "before_request", "config": prices},
        {"name": "budget", "stage": "after_request", "config": prices},
        {
            "name": "request-logger",
            "stage": "before_request",
            "config": {"level": "error", "persist": True, "backend": "sqlite", "dsn": str(folder / "requests.db")},
        },
    ]
    types = {"rate-limit": "ratelimit", "budget": "ratelimit", "request-logger": "logging"}
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [{"virtual_key": "openai", "retry": {"attempts": 2}}],
        "plugins": [plugin | {"type": types[str(plugin["name"])], "enabled": True} for plugin in plugins],
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    return Setup(
        command=[str(CACHE / "ferrogw" / "bin" / "ferrogw"), "serve"],
        ready="/readyz",
        environ={
            "PORT": str(port),
            "MASTER_KEY": MASTER,
            "GATEWAY_CONFIG": str(folder / "config.yaml"),
            "OPENAI_API_KEY": "sk-mock",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}",
            "RATE_LIMIT_RPS": "0",
            "LOG_LEVEL": "error",
        },
        headers={"authorization": f"Bearer {MASTER}"},
    )


CONTENDERS = (
    Contender(
        name="farthing",
        on="virtual key, 3 budgets reserved, rate and concurrency limits, exact price, durable ledger row, metrics",
        program=Path(sys.executable),
        setup=_farthing,
    ),
    Contender(
        name="bare",
        on="no gateway: our HTTP server and client passing requests on, the floor of what Farthing is built on",
        program=Path(sys.executable),
        setup=_bare,
    ),
    Contender(
        name="litellm",
        on="master key, rate limit of the model, price, retries, metrics (keys, budgets, log: litellm-db)",
        program=CACHE / "litellm" / "bin" / "litellm",
        setup=_litellm,
    ),
    Contender(
        name="litellm-db",
        on="virtual key with budget and limits, price, spend log in PostgreSQL (whose own CPU is not counted), "
        "retries, metrics; its query engine as a library in Node",
        program=CACHE / "litellm-db" / "query-engine",
        setup=_litellm_db,
    ),
    Contender(
        name="portkey",
        on="retries (its open gateway has no keys, budgets, prices or log of its own)",
        program=CACHE / "portkey" / "node_modules" / "@portkey-ai" / "gateway",
        setup=_portkey,
    ),
    Contender(
        name="smg",
        on="one key, rate limit, retries, circuit breaker, metrics (no budgets, prices or log)",
        program=CACHE / "smg" / "bin" / "smg",
        setup=_smg,
    ),
    Contender(
        name="ferrogw",
        on="master key, rate limit, soft budget at stated prices, request log in SQLite, retries, metrics",
        program=CACHE / "ferrogw" / "bin" / "ferrogw",
        setup=_ferrogw,
    ),
)
PEERS = tuple(contender.name for contender in CONTENDERS[1:])
