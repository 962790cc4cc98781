"""The fitted coefficients: data with their provenance, and how those of one engine, format and family are chosen.

`data/serving/fit.toml` is written by `python tools/fit_serving.py`. A coefficient's name may carry a tag
("kv_bandwidth@vllm"): a factor on the plain one (a summand, where the plain one is an exponent) for deployments
that have the tag: an engine, a format of weights, a family of devices, "pcie" (cards), a vendor, or "lockstep" (a
benchmark whose requests all have one length, and so start and end together).
"""

from datetime import date
from functools import cache

import msgspec

from farthing.evidence import Source
from farthing.rates.toml_sources import read_source
from farthing.rates.toml_table import Table
from farthing.serving.deployment import Deployment
from farthing.serving.tables import open_table

DAYS_PER_MONTH = 30.4


class Coefficient(msgspec.Struct, frozen=True, kw_only=True):
    """One coefficient. `prior`, `sd`: where the fit starts and how far it may go, in logarithms unless `linear`."""

    name: str
    value: float
    prior: float
    sd: float
    what: str = ""
    linear: bool = False


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The coefficients of one deployment: efficiencies as shares of the stated rates, overheads in seconds."""

    dense_bandwidth: float
    expert_bandwidth: float
    kv_bandwidth: float
    prompt_compute: float
    expert_prompt: float
    decode_compute: float
    expert_compute: float
    attention_compute: float
    link_bandwidth: float
    link_latency_s: float
    exchange_latency_s: float
    imbalance: float
    overhead: float
    layer_s: float
    moe_layer_s: float
    latent_layer_s: float
    linear_layer_s: float
    sparse_layer_s: float
    step_s: float
    rank_sequence_s: float
    interference: float
    hidden_overhead: float
    hidden_compute: float
    expert_size: float
    speed: float
    drafted: float
    front: float
    front_s: float
    eager_layer_s: float
    eager_moe_layer_s: float
    eager_latent_layer_s: float
    front_power: float
    own_prompt: float
    first_step: float
    queue: float
    capacity_wait: float


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The fit: its coefficients, from what they are, and between which days the engines were (`oldest`, `newest`).

    `families`: the family of each device that was measured. `reference`: the day at which `speed` is 1.
    """

    coefficients: dict[str, Coefficient]
    source: Source
    reference: date
    oldest: date
    newest: date
    families: dict[str, str]
    releases: dict[tuple[str, str], date]
    drafted: frozenset[tuple[str, str]]

    def values(self) -> dict[str, float]:
        """The value of each coefficient by name."""
        return {name: one.value for name, one in self.coefficients.items()}


# Coefficients that are made, not stated: the gain of newer engines, and 1 where nothing is drafted.
_MADE = ("speed", "drafted")
_BASES = tuple(name for name in Chosen.__struct_fields__ if name not in _MADE)


def choose(
    fit: Fit, values: dict[str, float], tags: tuple[str, ...], *, months: float = 0.0, drafted: bool = False
) -> Chosen:
    """The coefficients under `tags`; `months` after the reference (0 where the engine's age is not counted)."""
    chosen = {}
    for name in _BASES:
        value = values[name]
        for tag in tags:
            other = values.get(f"{name}@{tag}")
            if other is not None:
                value = value + other if fit.coefficients[name].linear else value * other
        chosen[name] = value
    speed = 2.718281828459045 ** (-values["monthly_gain"] * months)
    return Chosen(**chosen, speed=speed, drafted=values["drafted"] if drafted else 1.0)


def tags_of(deployment: Deployment, fit: Fit, *, lockstep: bool = False) -> tuple[str, ...]:
    """The tags of a deployment: engine, format, family (if measured), lockstep, cards on PCIe, vendor."""
    family = fit.families.get(deployment.device.id, "")
    tags = [deployment.engine, deployment.weights, family, "lockstep" if lockstep else ""]
    tags += ["pcie" if deployment.device.form == "pcie" else "", deployment.device.vendor.lower()]
    return tuple(tag for tag in tags if tag)


def months_of(deployment: Deployment, fit: Fit) -> float:
    """Months from the reference to the deployment's engine; 0 for models without experts, whose kernels were ripe.

    Held within the days of the fit: the gain of the months before is not promised for those to come.
    """
    if not deployment.model.expert_parameters:
        return 0.0
    day = deployment.engine_date or fit.newest
    day = min(max(day, fit.oldest), fit.newest)
    return (day - fit.reference).days / DAYS_PER_MONTH


@cache
def packaged() -> Fit:
    """The fit that Farthing carries."""
    table, sources = open_table("fit")
    about = table.sub("fit")
    if about is None:
        table.fail(None, "'fit' is missing")
    source = read_source(about, sources)
    reference, oldest, newest = (_day(about, name) for name in ("reference", "oldest", "newest"))
    about.finish()
    families: dict[str, str] = {}
    for entry in table.subs("family"):
        name = entry.needed_text("name")
        families |= dict.fromkeys(entry.texts("devices"), name)
        entry.finish()
    releases = {}
    for entry in table.subs("release"):
        releases[entry.needed_text("engine"), entry.needed_text("version")] = _day(entry, "day")
        entry.finish()
    drafted = set()
    for entry in table.subs("drafted"):
        drafted.add((entry.needed_text("engine"), entry.needed_text("version")))
        entry.text("note")
        entry.finish()
    coefficients = {}
    for entry in table.subs("coefficient"):
        one = Coefficient(
            name=entry.needed_text("name"), value=_number(entry, "value"), prior=_number(entry, "prior"),
            sd=_number(entry, "sd"), what=entry.text("what") or "", linear=entry.flag("linear") or False,
        )  # fmt: skip
        coefficients[one.name] = one
        entry.finish()
    for name in (*_BASES, "monthly_gain", "drafted"):
        if name not in coefficients:
            table.fail(None, f"no [[coefficient]] {name!r}")
    table.finish()
    return Fit(
        coefficients=coefficients, source=source, reference=reference, oldest=oldest, newest=newest,
        families=families, releases=releases, drafted=frozenset(drafted),
    )  # fmt: skip


def _day(table: Table, name: str) -> date:
    table.need(name)
    return table.day(name) or date.max


def _number(table: Table, name: str) -> float:
    table.need(name)
    return float(table.number(name) or 0)
