"""What a worker serves requests with: what lives as long as the worker (`Shared`), and what a configuration says
(`State`, made anew at each reload while requests in flight keep theirs)."""

import asyncio
import time
from collections.abc import Mapping
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from farthing.gateway.breaker import Breaker
from farthing.gateway.call import Call
from farthing.gateway.config.values import Config
from farthing.gateway.gate import Gate, refused, scope_text
from farthing.gateway.http import Held
from farthing.gateway.metering import Served, Surface
from farthing.gateway.observe.content import Content
from farthing.gateway.place import Place as Place
from farthing.gateway.place import Way, place_of
from farthing.gateway.problem import Header, Problem
from farthing.gateway.routes import Routes, split_target, surface_at
from farthing.gateway.shared import Shared
from farthing.gateway.spending.amount_text import nano_text
from farthing.gateway.spending.costs import Costs, Priced
from farthing.gateway.spending.purses import Hold, Refused
from farthing.gateway.spending.selling import cost_lines, reason_text
from farthing.gateway.spending.worst import Worst
from farthing.gateway.upstream import Upstream
from farthing.ledger.budgets import NANO
from farthing.ledger.row import Attempt
from farthing.policies.routing import Ask, Chain, Context
from farthing.rates.card import Offer
from farthing.rates.select import Unknown
from farthing.units import METERS

if TYPE_CHECKING:
    from farthing.gateway.observe.spans import Trace
    from farthing.gateway.observe.tracing import Tracer

_MOST_COUNTED = 10_000 * NANO
"""What one request reserves at most of budgets that only warn: a client's absurd `max_tokens` and `n` refuse it
nothing, and must not fill the 64 bits that all reservations together have."""
_MOST_PLACES = 2048  # clients name models, so what is remembered of them is bounded
_TRIPPED = attrgetter("tripped")


class State:
    """One configuration at work. `old`: the one before, whose circuit breakers go on where the upstream is the same."""

    token_meters = frozenset(name for name, meter in METERS.items() if meter.unit == "token" and name != "reasoning")

    def __init__(self, config: Config, shared: Shared, old: "State | None" = None) -> None:
        self.config = config
        self.shared = shared
        self.ledger = shared.ledger
        self.purses = shared.purses
        self.chain = config.chain or Chain()
        before: Mapping[str, Upstream] = old.upstreams if old else {}
        self.upstreams: dict[str, Upstream] = {
            one.name: Upstream(one, _breaker(before.get(one.name), config)) for one in config.upstreams
        }
        self.tracer = _tracer(config, shared, old)
        self.content = Content(_content_folder(config, shared), shared.ledger.worker) if config.record.content else None
        self.gate = Gate(config, shared, self.upstreams)
        self.costs = Costs(shared.book(config))
        self.routes = Routes(self.upstreams, config.models, self._has_price)
        shared.metrics.knows(self.is_priced)
        self.held = Held(config.bounds.held_bytes)
        self.in_flight = 0
        self.mark = object()
        """Tells it from those before and after it, for what must not keep it alive."""
        self.keeps_tracer = False
        """The next configuration goes on with this one's tracer."""
        self._breakers = tuple(one.breaker for one in self.upstreams.values())
        self._some_can_be_full = any(one.settings.most_in_flight is not None for one in self.upstreams.values())
        self._places: dict[tuple[str, Surface], Place] = {}
        self._ways: dict[tuple[str, Surface], Way] = {}
        self._left_out = frozenset(config.left_out)
        self._listed: dict[str, list[str]] = {}

    def preload(self) -> None:
        """Read the prices and make the clients now, so that no request waits for them."""
        self.costs.preload((one.provider, "*") for one in self.upstreams.values())
        for upstream in self.upstreams.values():
            upstream.open()

    async def close(self) -> None:
        """Let go of the upstreams' connections."""
        for upstream in self.upstreams.values():
            await upstream.close()
        if self.content is not None:
            await asyncio.to_thread(self.content.close)
        if self.tracer is not None and not self.keeps_tracer:
            await asyncio.to_thread(self.tracer.close)

    # --- budgets ---------------------------------------------------------------------------------

    async def reserve(self, call: Call, place: Place) -> tuple[Hold | None, int | None]:
        """Reserve the worst case of the request in all its budgets: the hold, and the cap that its output needs.
        (Ask `reserve_stated` first.)

        Raises `Problem`: 429 where a budget is short, 403 where the cost has no bound under a hard budget.
        """
        now_s = call.started_us / 1e6
        budgets, hard = call.party.budgets, call.party.hard
        remaining = None
        if hard is not None and call.asked.max_output_tokens is None:
            # What is left decides how long an answer may be for which the client states no limit.
            remaining = self.purses.remaining(budgets)
            if remaining is None:  # this worker has not asked yet
                first = await self.purses.reserve(budgets, 0, now_s)
                if isinstance(first, Hold):
                    self.purses.release(first)
                remaining = self.purses.remaining(budgets)
        worst = self._worst(call, place, remaining)
        if worst.nano is None and hard is not None and self.config.rules.on_unknown_price == "refuse":
            whose = scope_text(hard.id, call.party.key)
            raise Problem(
                403, f"what {call.asked.model!r} would cost cannot be bounded, and {whose} has a hard budget: "
                f"{worst.why}", code="unknown_price",
            )  # fmt: skip
        amount = worst.nano or 0
        hold = self.purses.try_reserve(budgets, amount, now_s)
        if hold is None:
            found = await self.purses.reserve(budgets, amount, now_s)
            if isinstance(found, Refused):
                self.shared.metrics.count("budget_refusals", found.why)
                raise refused(found, amount, worst.cap_output, call.party.key)
            hold = found
        return hold, worst.cap_output

    def reserve_stated(self, call: Call, place: Place) -> Hold | None:
        """The hold of a request whose own words bound what it costs, where this worker's leases suffice: most of them.
        None: see `reserve`, which needs more time."""
        asked, ceilings, started_us = call.asked, place.ceilings, call.started_us
        if ceilings is None or asked.other_models:
            return None
        nano = ceilings.stated(asked, place.where, started_us)
        if nano is None or (nano > _MOST_COUNTED and call.party.hard is None):
            return None
        return self.purses.try_reserve(call.party.budgets, nano, started_us / 1e6)

    def _worst(self, call: Call, place: Place, remaining: int | None) -> Worst:
        hard = call.party.hard is not None
        if isinstance(place.expected, Unknown):
            return Worst(None if hard else 0, None, place.expected.reason)
        worst = self.costs.worst(
            call.asked, place.expected, self.config.rules, started_us=call.started_us, hard=hard, remaining=remaining,
            region=place.region,
        )  # fmt: skip
        if hard:
            others = call.asked.other_models and place.offer is None
            return self._dearest(call, place, worst) if others else worst
        return Worst(0, None, worst.why) if worst.nano is None else Worst(min(worst.nano, _MOST_COUNTED), None)

    def _dearest(self, call: Call, place: Place, worst: Worst) -> Worst:
        """The dearest of `worst` and of the other models that the upstream may turn to."""
        asked, most = call.asked, worst.nano
        if worst.cap_output is not None:
            asked = msgspec.structs.replace(asked, max_output_tokens=worst.cap_output)
        for model in asked.other_models if most is not None else ():
            offer = self.costs.offer(place.provider, model, place.region)
            other = self.costs.worst(
                asked, offer, self.config.rules, started_us=call.started_us, hard=True, region=place.region
            )
            if other.nano is None:
                return other
            most = max(most or 0, other.nano)
        return Worst(most, worst.cap_output, worst.why)

    # --- prices ---------------------------------------------------------------------------------

    def _has_price(self, upstream: Upstream, model: str) -> bool:
        return isinstance(self.costs.offer(upstream.provider, model, upstream.settings.region), Offer)

    def is_priced(self, model: str) -> bool:
        """Whether any upstream's provider has a price for `model`: such names may be labels of metrics."""
        return any(self._has_price(upstream, model) for upstream in self.upstreams.values())

    def place(self, target: str, surface: Surface) -> Place | str:
        """Where `target` answers `surface`, and what prices it; why it cannot, in words, where that is so."""
        key = (target, surface)
        found = self._places.get(key)
        if found is None:
            name, model = split_target(target)
            upstream = self.upstreams.get(name)
            if upstream is None:
                return "is not configured"
            own = surface_at(upstream, surface)
            if own is None:
                return f"does not answer /v1/{surface.path}"
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            found = self._places[key] = self.place_of(upstream, own, model)
        return found

    def place_of(self, upstream: Upstream, surface: Surface, model: str) -> Place:
        """What `model` of `upstream`, which answers `surface`, is sent as, and what prices it."""
        return place_of(self.costs, upstream, surface, model)

    def least(self, call: Call, place: Place) -> Fraction | None:
        """What a request costs whose answer never came, as far as can be guessed: its prompt was read."""
        guess = Served(quantities={"input": max(call.asked.prompt_tokens_estimate, 1)}, estimated=True)
        return place.seller.price(guess, call.asked.tier, call.started_us, call.now_us()).usd

    def price_name(self, priced: Priced) -> str:
        """The name of the price record that a charge rests on."""
        plan = priced.plan
        if not plan.price_name and plan.price is not None and priced.offer is not None:
            plan.price_name = self.ledger.price_name(priced.offer, plan.price)
        return plan.price_name

    # --- upstreams ------------------------------------------------------------------------------

    def unavailable(self) -> frozenset[str]:
        """The upstreams that are not to be asked now: their circuit is open, or they are busy."""
        if not (self._some_can_be_full or any(map(_TRIPPED, self._breakers))):
            return self._left_out
        now_s = time.monotonic()
        found = [
            name for name, one in self.upstreams.items()
            if one.breaker.blocked(now_s)
            or (one.settings.most_in_flight is not None and one.in_flight >= one.settings.most_in_flight)
        ]  # fmt: skip
        return self._left_out.union(found) if found else self._left_out

    def usual_way(self, model: str, surface: Surface) -> Way | None:
        """Where passthrough sends a first attempt at `model`, looked up in one step: the same for all requests. None
        where something is out of the usual, or policies look at the request. Raises `Problem` as `Routes.targets`
        does."""
        way = self._ways.get((model, surface)) or self._find_way(model, surface)
        if any(map(_TRIPPED, self._breakers)) or (self._some_can_be_full and self.unavailable()):
            return None
        return way

    def _find_way(self, model: str, surface: Surface) -> Way | None:
        """The same, remembered where it stays so but for a tripped breaker."""
        if self.chain.specs or self._left_out:
            return None
        context = Context(targets=self.routes.targets(model, surface), retries=self.config.retries.count)
        decision = self.chain.decide(Ask(request_id="", model=""), context)
        place = self.place(decision.target, surface) if decision.target is not None else ""
        if decision.target is None or isinstance(place, str):
            return None
        if len(self._ways) >= _MOST_PLACES:
            self._ways.clear()
        way = self._ways[model, surface] = Way(decision.target, decision.log(), place)
        return way

    def retry_after_s(self) -> int:
        """When an upstream that is left alone will be tried again, at the latest."""
        return max(1, round(self.config.breaker.open_s))

    def model_names(self) -> list[str]:
        """The names that clients may ask for, as far as they can be listed."""
        names = [alias.name for alias in self.config.models if not _is_pattern(alias.name)]
        for upstream in self.upstreams.values():
            listed = [name for name in upstream.settings.models if not _is_pattern(name)]
            listed += [one.name for one in upstream.settings.served if not _is_pattern(one.name)]
            names += listed or self._priced_models(upstream.provider)
        return list(dict.fromkeys(names))

    def _priced_models(self, provider: str) -> list[str]:
        """The models of a provider that takes any name: those that have a price."""
        if provider not in self._listed:
            known = self.costs.book.provider(provider)
            self._listed[provider] = [offer.model for offer in self.costs.book.offers(known)] if known else []
        return self._listed[provider]

    # --- rows and headers -----------------------------------------------------------------------

    def end(self, row: Attempt, trace: "Trace | None" = None) -> None:
        """Write a final row, and tell metrics and traces of it."""
        self.shared.end(row)
        if trace is not None and self.tracer is not None:
            self.tracer.attempt(trace, row)

    def priced_lines(self, call: Call, priced: Priced, left: int | None = None) -> bytes:
        """The cost of a whole answer, and what is left of the budgets. `left`: the latter, as `Hold.left` has it."""
        return cost_lines(priced, self.purses.remaining(call.party.budgets) if left is None else left)

    def stream_headers(self, call: Call, place: Place) -> list[Header]:
        """What can be told before a stream has ended: what is left of the budgets, and that there is no price."""
        made: list[Header] = []
        if isinstance(place.expected, Unknown):
            made.append((b"x-farthing-cost-unknown", reason_text(place.expected.reason)))
        return made + self.budget_headers(call)

    def budget_headers(self, call: Call) -> list[Header]:
        """What is left of the smallest of the budgets that apply."""
        left = self.purses.remaining(call.party.budgets)
        return [(b"x-farthing-budget-remaining-usd", nano_text(left))] if left is not None else []


def _content_folder(config: Config, shared: Shared) -> Path:
    return config.record.folder or shared.folder / "content"


def _tracer(config: Config, shared: Shared, old: "State | None") -> "Tracer | None":
    """Where spans go; the one before where it is the same."""
    told = config.telemetry
    if told.otlp is None:
        return None
    if old is not None and old.tracer is not None and old.config.telemetry == told:
        old.keeps_tracer = True
        return old.tracer
    from farthing.gateway.observe.tracing import Tracer

    parts = {one.name: urlsplit(one.url) for one in config.upstreams}
    return Tracer(
        told.otlp, service=told.service, worker=shared.ledger.worker,
        upstreams={name: (part.hostname or "", part.port) for name, part in parts.items()},
    )  # fmt: skip


def _breaker(before: Upstream | None, config: Config) -> Breaker:
    return before.breaker if before is not None else Breaker(config.breaker)


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")
