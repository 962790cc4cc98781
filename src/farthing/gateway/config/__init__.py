"""The gateway's configuration: `load` makes one frozen `Config` of a farthing.toml, the environment and defaults."""

from farthing.gateway.config.load import load
from farthing.gateway.config.secret import Secret
from farthing.gateway.config.values import (
    Alias,
    Attribution,
    Bounds,
    Breaker,
    Budget,
    Config,
    LimitRule,
    Record,
    Retries,
    Rules,
    Served,
    Telemetry,
    Timeouts,
    Upstream,
)

__all__ = [
    "Alias",
    "Attribution",
    "Bounds",
    "Breaker",
    "Budget",
    "Config",
    "LimitRule",
    "Record",
    "Retries",
    "Rules",
    "Secret",
    "Served",
    "Telemetry",
    "Timeouts",
    "Upstream",
    "load",
]
