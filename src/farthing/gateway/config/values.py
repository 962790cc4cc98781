"""What a configuration says, read, checked and resolved: frozen values that the gateway runs on.

Seconds are floats (they steer timers), dollars are exact. Where a default is ours it stands here and in
docs/gateway-config.md, which a test compares; facts about providers are in data/gateway/upstreams.toml.
"""

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.gateway.config.address import is_loopback
from farthing.gateway.config.secret import Secret
from farthing.gateway.translation.words import DEFAULT_MAX_TOKENS, AnthropicTarget, OpenAITarget, Protocol

if TYPE_CHECKING:
    from farthing.policies.routing import Chain
    from farthing.rates.toml import Card

MIB = 1024 * 1024
Auth = Literal["bearer", "x-api-key", "api-key", "none"]
Period = Literal["day", "week", "month", "total"]
Per = Literal["all", "key", "user", "feature", "team"]
Refuse = Literal["refuse", "admit"]

AUTHS: tuple[Auth, ...] = ("bearer", "x-api-key", "api-key", "none")
PERIODS: tuple[Period, ...] = ("day", "week", "month", "total")
PERS: tuple[Per, ...] = ("all", "key", "user", "feature", "team")


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part of an exchange may take, in seconds."""

    connect_s: float = 5.0
    """To reach an upstream, TLS included."""
    first_byte_s: float = 120.0
    """From the request sent to the first byte of the answer."""
    idle_s: float = 60.0
    """Between two bytes of an answer."""
    total_s: float = 600.0
    """A request in all, retries and fallbacks included."""
    drain_s: float = 30.0
    """After the client left: to read the rest of a stream for its usage."""
    body_s: float = 30.0
    """For the client to send its body."""
    shutdown_s: float = 30.0
    """For requests in flight to end when the gateway stops."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How often the same target is tried again, and the back-off: drawn between 0 and min(most_s, first_s x 2^n)."""

    count: int = 2
    first_s: float = 0.2
    most_s: float = 5.0


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream that fails `failures` requests in a row within `window_s` seconds is left alone for `open_s`."""

    failures: int = 10
    window_s: float = 30.0
    open_s: float = 5.0


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one request and one worker may take: bytes of a body and of an answer, of all bodies and answers that a
    worker holds at once, and its requests in flight."""

    body_bytes: int = 50 * MIB
    answer_bytes: int = 64 * MIB
    held_bytes: int = 256 * MIB
    in_flight: int = 2000


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What happens under a hard budget where something is not known, and when the budgets cannot be reached."""

    on_unknown_price: Refuse = "refuse"
    """A model without a price, under a hard budget."""
    on_bank_failure: Refuse = "refuse"
    """The shared state of the budgets cannot be read or written."""
    on_unbounded_prompt: Literal["refuse", "estimate"] = "refuse"
    """A prompt whose size the gateway cannot bound (a stored file, a conversation kept upstream)."""
    unstated_max_output_tokens: int = DEFAULT_MAX_TOKENS
    """The cap on an answer where a hard budget applies and the client stated none."""
    hold_s: float = 900.0
    """How long what a dead worker had reserved stays reserved."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Whether prompts and answers are stored (not, unless asked), and where (None: `content` in the data folder)."""

    content: bool = False
    folder: Path | None = None


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """`metrics`: whether GET /metrics answers, and with `metrics_key` only to that bearer token. `otlp`: where
    OpenTelemetry spans go (an OTLP/HTTP address), None: nowhere; `service`: the name they carry."""

    metrics: bool = True
    metrics_key: Secret | None = None
    otlp: str | None = None
    service: str = "farthing"


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is put down to where neither it nor its key says."""

    feature: str = ""
    request_type: str = ""
    user: str = ""
    segment: str = ""
    tags: Mapping[str, str] = {}


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[upstream.model]]`: a model of an upstream that is called or priced in a way of its own.

    `name`: as clients and targets say it (a pattern where `sent` is not given). `sent`: the name sent upstream, None:
    the same. `offer`: "provider/model" of the price book (or of a card: "host/NAME" for a deployment's computed
    rate), None: by the provider and the name served.
    """

    name: str
    sent: str | None = None
    offer: str | None = None


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """One place that requests are sent to.

    `url`: up to and with its version ("https://api.openai.com/v1"), without a final slash: a surface's path is
    added. `provider`: its id in the price book. `models`: names and patterns of what it serves; ("*",): anything.
    `key_from`: where its key comes from ("$OPENAI_API_KEY"), also where that is not set. `query`: percent-encoded.
    `offer`: the price of all its models (a deployment's computed rate is "host/NAME"). `target`: what translated
    requests may say to it. `stream_usage`: whether a stream states its usage "asked" (with `stream_options`) or
    "unasked"; None: as its provider is known to. `surfaces`: paths after /v1/ that it answers itself (others are
    translated or refused), "batches" and "files" among them. `place`: where it is written.
    """

    name: str
    provider: str
    protocol: Protocol
    url: str
    auth: Auth = "bearer"
    key: Secret | None = None
    key_from: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    models: tuple[str, ...] = ("*",)
    served: tuple[Served, ...] = ()
    offer: str | None = None
    surfaces: frozenset[str] = frozenset()
    target: OpenAITarget | AnthropicTarget = OpenAITarget()
    stream_usage: Literal["asked", "unasked"] | None = None
    timeouts: Timeouts = Timeouts()
    most_in_flight: int | None = None
    region: str = ""
    tier: str = ""
    preset: str = ""
    place: str = ""

    def model(self, name: str) -> Served | None:
        """What `[[upstream.model]]` says of the model called `name` here: its own entry, else the first pattern's."""
        for one in self.served:
            if one.name == name:
                return one
        return next((one for one in self.served if fnmatchcase(name, one.name)), None)


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A name that clients may ask for (a pattern is allowed), and the "upstream/model" targets behind it, best first.

    The model "*" of a target is the name that was asked for.
    """

    name: str
    targets: tuple[str, ...]
    place: str = ""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most `usd` a period for each `per` (or for the one called `who`); `hard`: refused beyond, else told."""

    per: Per
    usd: Decimal
    period: Period
    who: str = ""
    hard: bool = True
    place: str = ""


class LimitRule(msgspec.Struct, frozen=True, kw_only=True):
    """At most so much a minute, or at once, for each `per` (or for the one called `who`); None: no limit."""

    per: Per
    who: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    place: str = ""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration.

    `keys`: "required", "off", or "auto": required once a key exists, or where the gateway can be reached from
    another machine. `database`: a PostgreSQL address, None: SQLite in the data folder. `cards`: price cards, read,
    the most trusted first. `path`: the file it came from. `left_out`: names of optional upstreams without a key, which
    policies may name and which are never available. `notes`: what somebody should know (an upstream left out).
    `missing`: secrets that are not set, where it was read without needing them; `up` refuses it then.
    """

    host: str = "127.0.0.1"
    port: int = 4141
    workers: int = 1
    data: Path = Path("farthing-data")
    keys: Literal["auto", "required", "off"] = "auto"
    upstreams: tuple[Upstream, ...] = ()
    left_out: tuple[str, ...] = ()
    models: tuple[Alias, ...] = ()
    chain: "Chain | None" = None
    budgets: tuple[Budget, ...] = ()
    limits: tuple[LimitRule, ...] = ()
    cards: "tuple[Card, ...]" = ()
    card_files: tuple[Path, ...] = ()
    hosts: Path | None = None
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    bounds: Bounds = Bounds()
    rules: Rules = Rules()
    record: Record = Record()
    telemetry: Telemetry = Telemetry()
    attribution: Attribution = Attribution()
    database: Secret | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def reachable(self) -> bool:
        """Whether another machine can reach the gateway's address."""
        return not is_loopback(self.host)
