"""A deployment of one's own as an offer: named or spelt out, computed at a workload's lengths, then a rate card."""

import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from farthing.evidence import Grade, Source
from farthing.problems import FarthingError
from farthing.rates.card import Offer, Price, Rate
from farthing.rates.toml import Card
from farthing.rates.toml_table import Document, Table
from farthing.serving import devices, market, models
from farthing.serving.deployment import Deployment, Speculation, plan
from farthing.serving.estimate import Estimate, Load, estimate
from farthing.units import CACHE_WRITES, MICRO

PROVIDER = "host"
DEFAULT_FILE = "farthing-hosts.toml"
_SPEC = re.compile(r"(?P<model>[^@]+)@(?P<device>[^*,@]+)(?:\*(?P<count>\d+))?(?P<rest>(?:,[^,]+)*)")
_WHOLE = ("count", "tp", "pp", "ep", "dp", "chunk", "draft_tokens")
_TEXTS = ("engine", "weights", "kv")
_NUMBERS = ("concurrency", "prefix_hit", "usd_per_gpu_hour", "utilization", "acceptance")
KEYS = (*_TEXTS, *_WHOLE, *_NUMBERS)
_MOST = 1_000_000  # devices, and anything else that is counted
_DIGITS = 18  # of a number, before or after the point


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment with what it is asked at: requests in flight, share of prompts cached, dollars a device-hour.

    `usd_per_gpu_hour` None: the market's rent. `stated`: as it was written, to be saved.
    """

    name: str
    deployment: Deployment
    concurrency: float | None = None
    prefix_hit: float = 0.0
    usd_per_gpu_hour: Decimal | None = None
    utilization: float = 1.0
    stated: Mapping[str, str] = {}


def hosted(name: str, stated: Mapping[str, str]) -> Hosted:
    """The deployment that `stated` describes: `model`, `device`, and any of `KEYS`, all as text.

    Raises `FarthingError` for an unknown key, model or device, a bad number, a layout that does not divide.
    """
    for key in stated:
        if key not in ("model", "device", *KEYS):
            raise FarthingError(f"{name}: unknown {key!r}; one of model, device, {', '.join(KEYS)}")
    for key in ("model", "device"):
        if not stated.get(key):
            raise FarthingError(f"{name}: no {key} is stated")
    whole = {key: _whole(name, key, stated[key]) for key in _WHOLE if key in stated}
    number = {key: _number(name, key, stated[key]) for key in _NUMBERS if key in stated}
    model = models.find(stated["model"])
    speculation = None
    if ("draft_tokens" in whole) != ("acceptance" in number):
        raise FarthingError(f"{name}: draft_tokens and acceptance (the share of the drafted tokens kept) go together")
    if "draft_tokens" in whole:
        speculation = Speculation(tokens=whole.pop("draft_tokens"), acceptance=float(number["acceptance"]))
    texts: dict[str, Any] = {key: stated[key] for key in ("engine", "kv") if key in stated}
    deployment = plan(
        model, devices.find(stated["device"]), count=whole.pop("count", None), tp=whole.pop("tp", None),
        weights=stated.get("weights") or models.precision(stated["model"]),
        speculation=speculation, **texts, **whole,
    )  # fmt: skip
    return Hosted(
        name=name, deployment=deployment, stated=dict(stated),
        concurrency=float(number["concurrency"]) if "concurrency" in number else None,
        prefix_hit=float(number.get("prefix_hit", 0)), usd_per_gpu_hour=number.get("usd_per_gpu_hour"),
        utilization=float(number.get("utilization", 1)),
    )  # fmt: skip


def parse(text: str, file: Path | None = None) -> Hosted:
    """What stands after "host:": a name in `file` (else ./farthing-hosts.toml), or MODEL@DEVICE[*COUNT][,KEY=VALUE…].

    Raises `FarthingError` with an example.
    """
    saved = load(file or Path(DEFAULT_FILE)) if file or Path(DEFAULT_FILE).exists() else {}
    if text in saved:
        return saved[text]
    found = _SPEC.fullmatch(text)
    if found is None:
        known = f"; {file or DEFAULT_FILE} has {', '.join(saved)}" if saved else ""
        raise FarthingError(
            f"host:{text} is neither a saved deployment{known} nor MODEL@DEVICE[*COUNT][,KEY=VALUE…], "
            "such as host:llama-3.1-70b@h100-sxm*4,weights=fp8"
        )
    stated = {"model": found["model"].strip(), "device": found["device"].strip()}
    if found["count"]:
        stated["count"] = found["count"]
    for pair in found["rest"].split(",")[1:]:
        key, equals, value = pair.partition("=")
        if not equals:
            raise FarthingError(f"host:{text}: {pair!r} is not KEY=VALUE")
        name = key.strip().replace("-", "_")
        if name in stated:
            raise FarthingError(f"host:{text}: {name} is stated twice")
        stated[name] = value.strip()
    return hosted(text, stated)


def load(file: Path) -> dict[str, Hosted]:
    """The deployments saved in `file`, by name. Raises `FarthingError` with file and line."""
    try:
        root = Document(file.read_text("utf-8"), str(file)).table()
    except (OSError, UnicodeDecodeError) as error:
        raise FarthingError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    found: dict[str, Hosted] = {}
    for entry in root.subs("host"):
        name = entry.needed_text("name")
        if name in found:
            entry.fail("name", f"deployment {name!r} is there twice")
        stated = _texts(entry)
        entry.finish()
        try:
            found[name] = hosted(name, stated)
        except FarthingError as error:
            entry.fail(None, str(error))
    root.finish()
    return found


def save(one: Hosted, file: Path) -> None:
    """Add `one` to `file`, in place of the one of that name.

    Raises `FarthingError` for a file that is not ours, and for a name of spaces alone.
    """
    from farthing.files import write_whole

    if not one.name.strip():
        raise FarthingError("a deployment is kept under a name; such as --save ours")
    every = dict(load(file)) if file.exists() else {}
    every[one.name] = one
    lines = ["# Deployments of our own: `farthing replay FILE --to host:NAME` prices usage on them.\n"]
    for entry in every.values():
        lines.append(f"\n[[host]]\nname = {_quoted(entry.name)}\n")
        lines += [f"{key} = {_quoted(value)}\n" for key, value in entry.stated.items()]
    write_whole(file, "".join(lines))


def estimated(
    one: Hosted, input: float, output: float, prefix_hit: float | None = None, at: date | None = None
) -> Estimate:
    """The estimate of `one` for requests of these mean lengths, with its dollars."""
    hit = one.prefix_hit if prefix_hit is None else prefix_hit
    load_ = Load(input=max(input, 1.0), output=max(output, 1.0), concurrency=one.concurrency, prefix_hit=hit)
    rent = one.usd_per_gpu_hour
    if rent is None:
        rent = market.rent(one.deployment.device.id, at).usd_per_gpu_hour
    found = estimate(one.deployment, load_, usd_per_gpu_hour=rent, utilization=one.utilization)
    if not found.feasible:
        raise FarthingError(f"host:{one.name}: {found.why}")
    return found


def offer(name: str, found: Estimate, seen: date, cached: float | None = None, also: str = "") -> Offer:
    """The estimate as an offer `host/NAME`: rates per million tokens of input and output.

    A token found in the machine's own prefix cache is not computed and costs nothing of its own; one that an
    API would charge for writing is plain input. `cached`: the share of the prompt tokens that the usage to be
    priced counts as read from a cache (None: those that the machine finds in its own): what it does not count
    carries the cost of what is computed. `also`: what else is to be said of it.
    """
    if found.usd_per_mtok_input is None or found.usd_per_mtok_output is None or found.basis is None:
        raise FarthingError(f"host:{name}: no dollars per hour are stated")
    source = source_of(name, found, seen)
    hit = found.load.prefix_hit
    carried = 1.0 if cached is None else (1 - hit) / (1 - cached)  # computed tokens a token that is charged
    input, output = to_rate(found.usd_per_mtok_input.value * carried), to_rate(found.usd_per_mtok_output.value)
    low, high = found.usd_per_mtok_output.low, found.usd_per_mtok_output.high
    note = (
        f"computed for {found.batch:,.0f} requests at once in {found.utilization:.0%} of the paid hours; output from "
        f"{low:.3g} to {high:.3g} USD per million tokens (80 % interval); {found.basis.says}"
    )
    note = f"{also}; {note}" if also else note
    rates = [Rate(meter="input", amount=input, per=MICRO), Rate(meter="output", amount=output, per=MICRO, note=note)]
    rates.append(Rate(meter="cache_read", amount=Decimal(0), per=MICRO))
    writes = (meter for meter in CACHE_WRITES if not meter.endswith(("_audio", "_image", "_video")))
    rates += [Rate(meter=meter, amount=input, per=MICRO) for meter in writes]
    return Offer(provider=PROVIDER, model=name, prices=(Price(source=source, rates=tuple(rates), note=note),),
                 title=found.deployment.name, note=note)  # fmt: skip


def card(name: str, found: Estimate, seen: date, cached: float | None = None, also: str = "") -> Card:
    """A rate card with the one offer."""
    made = offer(name, found, seen, cached, also)
    return Card(offers=(made,), sources={made.prices[0].source.id: made.prices[0].source})


def source_of(name: str, found: Estimate, seen: date) -> Source:
    """Who says what an estimate says: the serving model, of the deployment `name` under the load it was asked at."""
    load_, basis = found.load, found.basis
    grade = Grade.parse(basis.grade) if basis else Grade.ASSUMED
    at = f"{load_.input:,.0f} tokens in, {load_.output:,.0f} out, {found.batch:,.0f} at once"
    return Source(
        id=f"serving-model:{name}", title=f"Computed by Farthing's serving model: {found.deployment.name}, {at}, "
        f"at {found.usd_per_gpu_hour} USD a device-hour", where="farthing host estimate", seen=seen, grade=grade,
    )  # fmt: skip


def to_rate(usd_per_mtok: float) -> Decimal:
    """A computed price as a rate: six significant digits, far finer than its interval. From physics to money."""
    return Decimal(f"{usd_per_mtok:.6g}")


def _texts(entry: Table) -> dict[str, str]:
    found = {}
    for key in ("model", "device", *KEYS):
        if key in entry:
            value = entry.text(key)
            if value is not None:
                found[key] = value
    return found


def _whole(name: str, key: str, text: str) -> int:
    short = text.isascii() and text.isdigit() and len(text) <= len(str(_MOST))
    if not short or not 1 <= int(text) <= _MOST:
        raise FarthingError(f"{name}: {key} is {text!r}; a whole number from 1 to {_MOST:,} is needed")
    return int(text)


def _number(name: str, key: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or (value and abs(value.adjusted()) > _DIGITS):
        raise FarthingError(f"{name}: {key} is {text!r}; a number of at least 0 is needed")
    return value


def _quoted(text: str) -> str:
    """`text` as a string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
