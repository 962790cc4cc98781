"""A subscription: what its limits allow, what users of each kind cost, and what is left of the price.

Limits are budgets per window (five hours, a week), in dollars of API prices, in tokens, or in messages. A
month allows the least of them. Hidden thinking tokens are output tokens: they cost, and count.
"""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.plans.breakeven import ApiPrice
from farthing.plans.fleet import MTOK
from farthing.plans.interval import Interval, Outcome, propagate
from farthing.plans.margin import Margin, TokenCost, margin_of
from farthing.problems import FarthingError

USD, TOKENS, MESSAGES = "usd", "tokens", "messages"
UNITS = (USD, TOKENS, MESSAGES)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """At most `budget` of `unit` in any `hours`; "usd" is at API prices. `most`: windows that a month may have."""

    hours: Fraction
    budget: Interval
    unit: str
    most: Fraction | None = None
    source: Source | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A monthly price and the limits that come with it."""

    name: str
    title: str
    usd_per_month: Fraction
    windows: tuple[Window, ...]
    days_per_month: Fraction = Fraction(30)
    sources: tuple[Source, ...] = ()

    @property
    def grade(self) -> Grade:
        found = [*self.sources, *(window.source for window in self.windows if window.source)]
        return worst(source.grade for source in found) if found else Grade.ASSUMED


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of subscriber: `share` of all, and what one asks for on each of `days` days a month.

    `output_tokens` are those that the user sees; for each of them come `thinking` hidden ones.
    """

    name: str
    share: Fraction
    days: Fraction
    messages: Interval
    input_tokens: Interval
    output_tokens: Interval
    thinking: Interval
    cached_share: Fraction = Fraction(0)
    sources: tuple[Source, ...] = ()


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a month, by kind, in tokens."""

    uncached: Fraction
    cached: Fraction
    output: Fraction
    messages: Fraction

    def usd(self, uncached: Fraction, cached: Fraction, output: Fraction) -> Fraction:
        """Dollars at these dollars per million tokens."""
        return (self.uncached * uncached + self.cached * cached + self.output * output) / MTOK

    def scaled(self, factor: Fraction) -> "Month":
        return Month(uncached=self.uncached * factor, cached=self.cached * factor, output=self.output * factor,
                     messages=self.messages * factor)  # fmt: skip


class UserMargin(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of user: what a month costs to serve. `limited`: of what is asked for, the share within the limits."""

    user: User
    month: Month
    limited: Fraction
    api_usd: Fraction
    margin: Margin
    breakeven_times: Outcome
    """How many times this usage costs as much as the plan's price (beyond the limits: never)."""


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """The dearest use of every window: `kind` is the token that costs most for its part of the limits.

    `limit_share`: the share of the limits at which such use costs as much as the plan; above 1: the
    plan cannot lose.
    """

    kind: str
    tokens: Fraction
    margin: Margin
    limit_share: Fraction


class PlanMargin(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as its provider sees it. `mean`: over all users by their shares, None where no users were stated."""

    plan: Plan
    api: ApiPrice
    cost: TokenCost
    limits: tuple[tuple[Window, Fraction], ...]
    users: tuple[UserMargin, ...]
    mean: Margin | None
    worst: Worst | None
    grade: Grade


def month_of(user: User) -> Month:
    """What a user asks for in a month, before limits."""
    read = user.input_tokens.mid * user.days
    return Month(
        uncached=read * (1 - user.cached_share),
        cached=read * user.cached_share,
        output=user.output_tokens.mid * (1 + user.thinking.mid) * user.days,
        messages=user.messages.mid * user.days,
    )


def monthly_limit(window: Window, days: Fraction) -> Fraction:
    """What one window allows in a month: budget × windows (those that fit, or `most` of them)."""
    windows = days * 24 / window.hours
    return window.budget.mid * (min(windows, window.most) if window.most is not None else windows)


def _used(month: Month, unit: str, api: ApiPrice) -> Fraction:
    if unit == USD:
        return api_usd(month, api)
    return month.messages if unit == MESSAGES else month.uncached + month.cached + month.output


def api_usd(month: Month, api: ApiPrice) -> Fraction:
    """What a month's tokens cost at the API. Raises `FarthingError` where cached ones have no price there."""
    if month.cached and api.cached_usd is None:
        raise FarthingError(f"{api.name} states no price of cached input; give the users no cached share")
    return month.usd(api.input_usd, api.cached_usd or Fraction(0), api.output_usd)


def allowed(plan: Plan, month: Month, api: ApiPrice) -> Fraction:
    """The share of `month` that every limit of the plan allows, at most 1."""
    shares = [Fraction(1)]
    for window in plan.windows:
        used = _used(month, window.unit, api)
        if used:
            shares.append(monthly_limit(window, plan.days_per_month) / used)
    return min(shares)


def _cost(month: Month, cost: TokenCost) -> Fraction:
    if month.cached and cost.cached_usd is None:
        raise FarthingError("the cost of cached input is unknown; state it, or users without a cached share")
    cached = cost.cached_usd.mid if cost.cached_usd is not None else Fraction(0)
    return month.usd(cost.input_usd.mid, cached, cost.output_usd.mid)


def plan_margin(plan: Plan, api: ApiPrice, cost: TokenCost, users: Sequence[User]) -> PlanMargin:
    """What serving a plan's users costs, and what its dearest possible use would.

    Limits stand at their middles; what users ask for and what tokens cost have intervals. Raises
    `FarthingError` where the shares do not make one whole.
    """
    total = sum((user.share for user in users), Fraction(0))
    if users and total != 1:
        raise FarthingError(f"the users' shares add up to {float(total):g}, not 1")
    mean = None
    if users:
        mean = margin_of(
            "all users",
            plan.usd_per_month,
            propagate(lambda c, *us: sum((u.share * _served(plan, u, api, c) for u in us), Fraction(0)), cost, *users),
        )
    grades = [plan.grade, api.grade, cost.grade]
    grades += [source.grade for user in users for source in user.sources] or [Grade.ASSUMED] * bool(users)
    return PlanMargin(
        plan=plan,
        api=api,
        cost=cost,
        limits=tuple((window, monthly_limit(window, plan.days_per_month)) for window in plan.windows),
        users=tuple(_user(plan, user, api, cost) for user in users),
        mean=mean,
        worst=_worst(plan, api, cost),
        grade=min(grades),
    )


def _served(plan: Plan, user: User, api: ApiPrice, cost: TokenCost) -> Fraction:
    month = month_of(user)
    return _cost(month.scaled(allowed(plan, month, api)), cost)


def _user(plan: Plan, user: User, api: ApiPrice, cost: TokenCost) -> UserMargin:
    asked = month_of(user)
    limited = allowed(plan, asked, api)
    month = asked.scaled(limited)

    def times(u: User, c: TokenCost) -> Fraction | None:
        spent = _cost(month_of(u), c)
        return plan.usd_per_month / spent if spent else None

    return UserMargin(
        user=user,
        month=month,
        limited=limited,
        api_usd=api_usd(month, api),
        margin=margin_of(user.name, plan.usd_per_month, propagate(lambda u, c: _served(plan, u, api, c), user, cost)),
        breakeven_times=propagate(times, user, cost),
    )


def _worst(plan: Plan, api: ApiPrice, cost: TokenCost) -> Worst | None:
    """The dearest use under limits in dollars or tokens; limits in messages alone bound no tokens: None."""
    kinds = (("input", api.input_usd), ("output", api.output_usd))

    def most(kind: str, price: Fraction) -> Fraction | None:
        bounds = []
        for window in plan.windows:
            limit = monthly_limit(window, plan.days_per_month)
            if window.unit == TOKENS:
                bounds.append(limit)
            elif window.unit == USD and price:
                bounds.append(limit / price * MTOK)
        return min(bounds, default=None)

    found: list[Worst] = []
    for kind, price in kinds:
        tokens = most(kind, price)
        if tokens is None:
            continue
        bound = tokens

        def spent(c: TokenCost, kind: str = kind, bound: Fraction = bound) -> Fraction:
            return bound * (c.input_usd if kind == "input" else c.output_usd).mid / MTOK

        made = margin_of(kind, plan.usd_per_month, propagate(spent, cost))
        middle = made.cost_usd.interval.mid
        share = plan.usd_per_month / middle if middle else Fraction(0)
        found.append(Worst(kind=kind, tokens=bound, margin=made, limit_share=share))
    return max(found, key=lambda one: one.margin.cost_usd.interval.mid, default=None)
