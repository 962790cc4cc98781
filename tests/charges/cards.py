"""Random rate cards and random usage (hypothesis), shared by the tests of charges."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from farthing.evidence import Grade, Source
from farthing.rates.card import ALWAYS, Band, Bracket, Free, Modifier, Offer, Period, Price, Rate, When, Window
from farthing.rates.select import ambiguous
from farthing.units import METERS
from farthing.usage.record import Usage

START = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = Source(id="test", title="made up", where="tests", seen=date(2026, 3, 1), grade=Grade.ASSUMED)
PRICED = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "input_audio",
          "audio_second", "web_search", "requests")  # fmt: skip
USED = (*PRICED[:-1], "cache_write_5m", "input_audio_second", "page")

instants = st.integers(0, 40 * 24 * 3600).map(lambda s: START + timedelta(seconds=s))
amounts = st.decimals(0, 100, places=6)
tiers = st.sampled_from(["batch", "priority", "flex"])
regions = st.sampled_from(["eu-west", "eu-north", "us-east"])
bands = st.builds(
    lambda low, size, of: Band(low=low, high=low + size, of=of),
    st.sampled_from([0, 100, 101, 251, 500]),
    st.one_of(st.integers(1, 600), st.just(1 << 60)),
    st.sampled_from(["prompt", "prompt", "output"]),
)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    mask = 0
    for _ in range(draw(st.integers(1, 3))):
        start, length = draw(st.integers(0, 10079)), draw(st.integers(1, 2000))
        for minute in range(start, start + length):
            mask |= 1 << (minute % 10080)
    days = st.frozensets(st.integers(0, 40).map(lambda d: (START + timedelta(days=d)).date()), max_size=2)
    return Window(minutes=mask, decides=draw(st.sampled_from(["start", "completion"])), dates=draw(days),
                  not_dates=draw(days))  # fmt: skip


@st.composite
def conditions(draw: st.DrawFn) -> When:
    which = draw(
        st.sets(st.sampled_from(["tier", "region", "band", "window", "period", "attr"]), min_size=1, max_size=2)
    )
    period = sorted(draw(st.tuples(instants, instants)))
    return When(
        tier=draw(tiers) if "tier" in which else None,
        regions=frozenset({draw(st.sampled_from(["eu-*", "us-east", "eu-west"]))}) if "region" in which else None,
        bands=(draw(bands),) if "band" in which else (),
        window=draw(windows()) if "window" in which else None,
        period=Period(start=period[0], end=period[1]) if "period" in which else None,
        attrs=frozenset({("size", draw(st.sampled_from(["s", "l"])))}) if "attr" in which else frozenset(),
    )


@st.composite
def rates(draw: st.DrawFn, meter: str, when: When, linear: bool) -> Rate:
    odd = "" if linear else draw(st.sampled_from(["", "", "minimum", "step", "free", "brackets"]))
    return Rate(
        meter=meter,
        amount=draw(amounts),
        per=METERS[meter].per,
        when=when,
        minimum=Decimal(draw(st.integers(1, 50))) if odd == "minimum" else None,
        step=Decimal(draw(st.integers(1, 50))) if odd == "step" else None,
        free=Free(quantity=draw(st.integers(0, 2000)), per=draw(st.sampled_from(["day", "month", "ever"])), group="g")
        if odd == "free"
        else None,
        brackets_per=draw(st.sampled_from(["request", "day", "month"])) if odd == "brackets" else "request",
        group="h" if odd == "brackets" else "",
        brackets=(Bracket(up_to=100, amount=draw(amounts)), Bracket(up_to=None, amount=draw(amounts)))
        if odd == "brackets"
        else (),
    )


@st.composite
def prices(draw: st.DrawFn, valid_from: datetime | None, linear: bool) -> Price:
    made: list[Rate] = []
    for meter in draw(st.lists(st.sampled_from(PRICED), min_size=1, max_size=6, unique=True)):
        for when in [ALWAYS, *draw(st.lists(conditions(), max_size=2))]:
            candidate = draw(rates(meter, when, linear))
            if ambiguous([*made, candidate]) is None:
                made.append(candidate)
    some_meters = st.sampled_from([frozenset(), frozenset({"output"})])
    modifiers = [
        Modifier(when=when, factor=draw(st.decimals(0, 3, places=3)), meters=draw(some_meters))
        for when in draw(st.lists(conditions(), max_size=2))
    ]
    minimum = draw(st.sampled_from([None, None, None, Decimal("0.001")])) if not linear else None
    return Price(source=SOURCE, rates=tuple(made), modifiers=tuple(modifiers), valid_from=valid_from,
                 usd=draw(st.sampled_from([Decimal(1), Decimal("0.14")])), minimum_usd=minimum)  # fmt: skip


@st.composite
def offers(draw: st.DrawFn, model: str = "m", linear: bool = False) -> Offer:
    starts: list[datetime | None] = sorted(draw(st.sets(instants, max_size=3)))  # type: ignore[assignment]
    if not starts or draw(st.booleans()):
        starts = [None, *starts]
    return Offer(provider="p", model=model, prices=tuple(draw(prices(start, linear)) for start in starts))


@st.composite
def kinds(draw: st.DrawFn, models: tuple[str, ...] = ("m", "n")) -> dict[str, object]:
    """What many rows have in common, so that rows meet in one cell."""
    return {
        "model_served": draw(st.sampled_from(models)),
        "tier_served": draw(st.sampled_from(["standard", "standard", "batch", "priority"])),
        "region": draw(st.sampled_from([None, "eu-west", "us-east"])),
        "attrs": draw(st.sampled_from([{}, {}, {"size": "s"}, {"context_window": "200-400"}])),
        "requests": draw(st.sampled_from([1, 1, 1, 7])),
        "meters": draw(st.sets(st.sampled_from(USED), min_size=1, max_size=4)) | {"input"},
    }


@st.composite
def usages(draw: st.DrawFn, kind: dict[str, object]) -> Usage:
    at = draw(instants)
    counts = {}
    for name in sorted(kind["meters"]):  # type: ignore[call-overload]
        if size := draw(st.sampled_from([0, 1, 99, 100, 101, 250, 500, 900, 1500])):
            counts[name] = size * (METERS[name].scale // draw(st.sampled_from([1, 10])) or 1)
    if "reasoning" in counts:
        counts["output"] = counts.get("output", 0) + counts["reasoning"]
    common = {name: value for name, value in kind.items() if name != "meters"}
    late = timedelta(seconds=draw(st.sampled_from([0, 1, 3600, 90_000])))
    return Usage(at=at, completed=at + late, quantities=counts, provider="p", **common)  # type: ignore[arg-type]


@st.composite
def logs(draw: st.DrawFn) -> list[Usage]:
    """Rows in order of time, of one to three kinds. Free quotas are used up in order of time, and equal
    times would leave the order open."""
    pool = draw(st.lists(kinds(), min_size=1, max_size=3))
    rows = draw(st.lists(st.sampled_from(pool).flatmap(usages), max_size=25, unique_by=lambda u: u.at))
    return sorted(rows, key=lambda usage: usage.at)
