"""Who may pass: keys and their scopes, limits, and which budgets a request must stay within."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from fractions import Fraction

import msgspec

from farthing.gateway.admission import Admission
from farthing.gateway.caller import NOBODY, PASSING, SAYING, Attribution, attribution, merged, token_of
from farthing.gateway.config.values import Config, LimitRule
from farthing.gateway.limits import Limit, Limited, Limiter
from farthing.gateway.metering import Asked
from farthing.gateway.problem import Problem
from farthing.gateway.shared import Shared
from farthing.gateway.spending.purses import Refused
from farthing.ledger.budgets import NANO, BudgetRef, nano_up
from farthing.ledger.keys import Key, KeyLimits, KeysUnavailable, Look
from farthing.money import decimal_text

_MOST_PARTIES = 8192  # users' names are clients' words
_LONGEST = 256
_SAYS_NOTHING = Asked()


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all requests of one key, user and feature. `hard`: the first of its hard budgets, if any;
    `scoped`: the key may be used for some models or features only."""

    key: Key | None
    budgets: tuple[BudgetRef, ...]
    hard: BudgetRef | None
    limiter: Limiter | None
    scoped: bool


class Caller(msgspec.Struct, frozen=True, eq=False):
    """Who sends requests with certain headers, and to what those are attributed where their bodies do not say.

    `look`: how the key was found; None where no keys are looked at.
    """

    key: Key | None
    by: Attribution
    party: Party
    look: Look | None


class Gate:
    """The rules of one configuration. `upstreams`: their names, which a model may be called by (UPSTREAM/model)."""

    def __init__(self, config: Config, shared: Shared, upstreams: Mapping[str, object]) -> None:
        self._config = config
        self._shared = shared
        self._keys = shared.keys
        self._upstreams = upstreams
        self._open_to_all = config.keys == "off"
        self._keys_needed = config.keys == "required" or (config.keys == "auto" and config.reachable)
        self._budgets = [(rule, nano_up(Fraction(rule.usd))) for rule in config.budgets]
        self._parties: dict[tuple[str, str, str], Party] = {}
        self._callers: dict[tuple[bytes | None, ...], Caller] = {}
        self._default = _fallback(config)
        self._of_keys: dict[str, tuple[Key, Attribution]] = {}

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Who asks, by the headers; remembered as long as its key is known to hold. Raises `Problem` (401, 503)."""
        said = tuple(map(headers.get, SAYING))
        found = self._callers.get(said)
        if found is not None and self.holds(found):
            return found
        look = self._look(token_of(headers))
        key = look.key if look is not None else None
        by = attribution(headers, _SAYS_NOTHING, self.defaults(key))
        found = Caller(key, by, self.party(key, by), look)
        if PASSING.isdisjoint(headers) and all(raw is None or len(raw) <= _LONGEST for raw in said):
            if len(self._callers) >= _MOST_PARTIES:
                self._callers.clear()
            self._callers[said] = found
        return found

    def holds(self, caller: Caller) -> bool:
        """Whether `caller` would be found the same now."""
        return caller.look is None or self._keys.holds(caller.look)

    def key_of(self, token: str) -> Key | None:
        """The virtual key that `token` is; None where none is needed. Raises `Problem` (401, 503)."""
        look = self._look(token)
        return look.key if look is not None else None

    def _look(self, token: str) -> Look | None:
        if self._open_to_all:
            return None
        ring = self._keys
        try:
            if token and (look := ring.look(token)).key is not None:
                return look
            if not self._keys_needed and (none := ring.none()) is not None:
                return none
        except KeysUnavailable as away:
            raise Problem(
                503, f"the keys cannot be read now: {away}", code="keys_unavailable", retry_after_s=1
            ) from None
        what = "this is none of the gateway's keys, or it was revoked or has expired" if token else "a key is needed"
        raise Problem(401, f"{what}: `farthing keys create --name NAME` makes one", code="invalid_api_key")

    def defaults(self, key: Key | None) -> Attribution:
        """What a request is attributed to where it does not say."""
        if key is None:
            return self._default
        known = self._of_keys.get(key.id)
        if known is None or known[0] is not key:
            if len(self._of_keys) >= _MOST_PARTIES:
                self._of_keys.clear()
            known = self._of_keys[key.id] = (key, merged(_defaults_of(key), self._default))
        return known[1]

    def in_scope(self, key: Key | None, model: str) -> bool:
        """Whether `key` may use `model` (named alone or as UPSTREAM/model)."""
        if key is None or not key.models:
            return True
        head, _, rest = model.partition("/")
        names = (model, rest) if rest and head in self._upstreams else (model,)
        return any(fnmatchcase(name, pattern) for name in names for pattern in key.models)

    def check_scope(self, key: Key | None, models: Iterable[str], feature: str) -> None:
        """Raise `Problem` (403) where the key may not use one of the models, or not for this feature."""
        for model in models:
            if key is not None and not self.in_scope(key, model):
                raise Problem(
                    403, f"this key may not use {model!r}; it may use {', '.join(key.models)}", code="model_denied"
                )
        self.check_feature(key, feature)

    def check_feature(self, key: Key | None, feature: str) -> None:
        """Raise `Problem` (403) where the key may not be used for this feature."""
        if key is not None and key.features and not any(fnmatchcase(feature, pattern) for pattern in key.features):
            named = repr(feature) if feature else "a request that names none (x-farthing-feature)"
            raise Problem(
                403, f"this key may not be used for feature {named}; it may for {', '.join(key.features)}",
                code="feature_denied",
            )  # fmt: skip

    def check_unbounded(self, key: Key | None, surface: str) -> None:
        """Raise `Problem` (403) where work whose cost comes later would escape a key's scope or a hard budget."""
        if (key is not None and key.models) or self.party(key, NOBODY).hard is not None:
            raise Problem(
                403, f"/v1/{surface} is closed where a key has a list of models, or a hard budget applies: what a "
                "batch costs is known only when it is done", code="unbounded",
            )  # fmt: skip

    # --- budgets and limits ---------------------------------------------------------------------

    def who(self, key: Key | None, headers: Mapping[bytes, bytes], asked: Asked) -> tuple[Attribution, Party]:
        """To what a request is attributed whose body may say so, too, and what holds for it."""
        by = attribution(headers, asked, self.defaults(key))
        return by, self.party(key, by)

    def party(self, key: Key | None, by: Attribution) -> Party:
        """The budgets that a request must stay within, and its limits: those of its key, user and feature."""
        who = (key.id if key is not None else "", by.user, by.feature)
        found = self._parties.get(who)
        if found is None or found.key is not key:  # (a key that was changed is another object)
            if len(self._parties) >= _MOST_PARTIES:
                self._parties.clear()
            found = self._parties[who] = self._party(key, by)
        return found

    def _party(self, key: Key | None, by: Attribution) -> Party:
        budgets = [
            BudgetRef(scope, limit, rule.period, rule.hard)
            for rule, limit in self._budgets
            if (scope := _scope(rule.per, rule.who, key, by)) is not None
        ]
        limits = [
            _limit(f"{scope}#{number}", rule)
            for number, rule in enumerate(self._config.limits)
            if (scope := _scope(rule.per, rule.who, key, by)) is not None
        ]
        if key is not None:
            budgets += key.refs
            if key.limits is not None:
                limits.append(_limit(f"key:{key.id}", key.limits))
        return Party(
            key=key, budgets=tuple(budgets), hard=next((budget for budget in budgets if budget.hard), None),
            limiter=self._shared.limits.limiter(limits) if limits else None,
            scoped=key is not None and bool(key.models or key.features),
        )  # fmt: skip

    def admit(self, party: Party, tokens: int) -> Admission | None:
        """Count a request of about so many tokens under its limits. Raises `Problem` (429)."""
        limiter = party.limiter
        if limiter is None:
            return None
        found = limiter.admit(tokens)
        if isinstance(found, Limited):
            raise limited(found, party)
        return found


def _limit(id: str, rule: LimitRule | KeyLimits) -> Limit:
    return Limit(
        id=id, requests_per_minute=rule.requests_per_minute, tokens_per_minute=rule.tokens_per_minute,
        concurrent=rule.concurrent,
    )  # fmt: skip


def _fallback(config: Config) -> Attribution:
    one = config.attribution
    return Attribution(
        feature=one.feature, request_type=one.request_type, user=one.user, segment=one.segment, tags=one.tags
    )


def _defaults_of(key: Key) -> Attribution:
    one = key.defaults
    return Attribution(
        feature=one.feature, request_type=one.request_type, user=one.user, segment=one.segment, tags=one.tags
    )


_NAMES: Mapping[str, Callable[[Key | None, Attribution], str]] = {
    "key": lambda key, by: key.id if key else "",
    "team": lambda key, by: key.team if key else "",
    "user": lambda key, by: by.user,
    "feature": lambda key, by: by.feature,
}


def _scope(per: str, who: str, key: Key | None, by: Attribution) -> str | None:
    """The scope of a rule for this request ("user:alice"); None where the rule is about somebody else.

    Requests that name nobody share one scope, so that leaving a name out is no way past a budget.
    """
    if per == "all":
        return "all"
    name = _NAMES[per](key, by)
    if who and who != name and not (per == "key" and key is not None and who == key.name):
        return None
    return f"{per}:{name}"


def scope_text(scope: str, key: Key | None) -> str:
    """A scope for a person: "key 'search'", "user 'alice'", "requests that name no user", "everything"."""
    per, _, name = scope.partition("#")[0].partition(":")
    if per == "all":
        return "everything"
    if not name:
        return f"requests without a {per}"
    if per == "key" and key is not None and key.id == name:
        return f"key {key.name!r}"
    return f"{per} {name!r}"


def limited(found: Limited, party: Party) -> Problem:
    """The answer (429) where a limit of the party's has no room."""
    limits = party.limiter.limits if party.limiter is not None else ()
    limit = next((one for one in limits if one.id == found.limit), None)
    words = {
        "requests": f"more than {limit and limit.requests_per_minute} requests a minute",
        "tokens": f"more than {limit and limit.tokens_per_minute} tokens a minute",
        "concurrent": f"more than {limit and limit.concurrent} requests at once",
        "size": f"the request alone is larger than the limit of {limit and limit.tokens_per_minute} tokens a minute",
    }  # fmt: skip
    whose = f"{scope_text(found.limit, party.key)}: " if found.limit else ""
    return Problem(
        429, f"{whose}{words.get(found.what, 'the limits are busy')}",
        code="rate_limit_exceeded", retry_after_s=found.retry_after_s,
        headers=found.headers,
    )  # fmt: skip


def refused(found: Refused, amount: int, cap: int | None, key: Key | None) -> Problem:
    """The answer where a budget has no room. `cap`: the output that was assumed, where none is stated."""
    if found.budget is None:
        return Problem(503, "the budgets cannot be reached now", code="budgets_unavailable", retry_after_s=1)
    needs, left = (decimal_text(Fraction(part, NANO)) for part in (amount, max(found.remaining, 0)))
    hint = "a smaller max_tokens needs less" if cap is None else f"it states no max_tokens, so {cap} were assumed"
    return Problem(
        429, f"the {found.budget.period} budget of {scope_text(found.budget.id, key)} has about ${left} left, and this "
        f"request may cost up to ${needs} ({hint})", code="budget_exceeded", retry_after_s=found.retry_after_s,
        again=found.why == "held", headers=[(b"x-farthing-budget-remaining-usd", left.encode())],
    )  # fmt: skip
