"""The market compared: its view, its rows, its tables."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from farthing.index.bands import Band
from farthing.index.compared import Compared
from farthing.index.sold import Sold
from farthing.index.structure import Model, Ratios, Row, Tier
from farthing.money import decimal_text
from farthing.rates.compare import Platform
from farthing.reports.index_spread import notes
from farthing.reports.index_words import UNKNOWN, money, number, plain_table, say
from farthing.time import show_instant

View = Mapping[str, Any]
_KINDS = {"maker": "Makers", "cloud": "Cloud platforms and routers", "host": "Hosts of others' models"}
_EXAMPLES = 3
_SHOWN = 12


def compare_view(found: Compared, mix: str, named: bool) -> dict[str, Any]:
    """The market in JSON's types. `named`: providers were named, so each of their models is in it."""
    return {
        "at": show_instant(found.at),
        "mix": mix,
        "count": len(found.sold),
        "models_count": len(found.models),
        "providers_count": len({row.provider for row in found.rows}),
        "providers": [_row(row) for row in found.rows],
        "models": [_sold(one) for one in sorted(found.sold, key=lambda o: (o.provider, o.blended, o.model))]
        if named
        else [],
        "bands": [_band(band, found.models) for band in found.bands],
        "bands_method": "edges at 1 and 3 times powers of ten" if found.fit is None else "natural breaks of logarithms",
        "bands_fit": found.fit,
        "benchmark": found.benchmark,
        "tiers": [_tier(tier) for tier in found.tiers],
        "flagships": [
            {"provider": one.provider, "model": one.sold.model, "input": decimal_text(one.sold.input),
             "output": decimal_text(one.sold.output), "blended": decimal_text(one.sold.blended), "score": one.score}
            for one in found.flagships
        ],
        "ratios": [_ratios(one) for one in found.ratios],
        "ratios_over_time": [{"date": day.isoformat(), **_ratios(one)} for day, one in found.dated],
        "markups": [_platform(one) for one in found.platforms],
        "method": "list prices of text models, a short prompt at the standard tier; a model stands at its maker's own "
        "price, else at the median of its hosts'",
        "grade": str(found.grade) if found.sold else None,
        "notes": list(found.notes),
    }  # fmt: skip


def _row(row: Row) -> dict[str, Any]:
    return {
        "provider": row.provider, "name": row.name, "kind": row.kind, "count": row.count, **_three("input", row.input),
        **_three("output", row.output), **_three("blended", row.blended), "cheapest": row.cheapest.model,
        "dearest": row.dearest.model, "grade": str(row.grade),
    }  # fmt: skip


def _three(name: str, values: tuple[Fraction, Fraction, Fraction]) -> dict[str, str]:
    return {f"{name}_{end}": decimal_text(usd) for end, usd in zip(("low", "median", "high"), values, strict=True)}


def _sold(one: Sold) -> dict[str, Any]:
    return {
        "id": one.id, "provider": one.provider, "model": one.model, "family": one.family, "maker": one.maker,
        "channel": one.channel, "input": decimal_text(one.input), "output": decimal_text(one.output),
        "blended": decimal_text(one.blended), "output_over_input": one.ratio, "grade": str(one.grade),
    }  # fmt: skip


def _band(band: Band, models: tuple[Model, ...]) -> dict[str, Any]:
    inside = [models[position] for position in band.items]
    outputs = [model.output for model in inside]
    known = sorted(inside, key=lambda model: (-model.sellers, model.family))
    return {
        "low": band.low, "high": band.high, "count": len(inside), "output_low": min(outputs, default=None),
        "output_high": max(outputs, default=None), "examples": [model.family for model in known[:_EXAMPLES]],
        "models": [model.family for model in inside],
    }  # fmt: skip


def _tier(tier: Tier) -> dict[str, Any]:
    low, middle, high = tier.prices or (None, None, None)
    outputs = tier.outputs or (None, None, None)
    best = sorted(tier.models, key=lambda item: -item[1])
    return {
        "tier": tier.name, "score_low": tier.low, "score_high": tier.high, "count": len(tier.models),
        "low": low, "median": middle, "high": high,
        "output_low": outputs[0], "output_median": outputs[1], "output_high": outputs[2],
        "cheapest": tier.models[0][0].family if tier.models else None,
        "best": best[0][0].family if best else None,
        "models": [{"model": m.family, "score": s, "blended": m.blended, "output": m.output} for m, s in tier.models],
    }  # fmt: skip


def _ratios(one: Ratios) -> dict[str, Any]:
    return {"name": one.name, "count": one.count, "low": one.low, "p25": one.quarter, "median": one.median,
            "p75": one.three_quarters, "high": one.high}  # fmt: skip


def _platform(one: Platform) -> dict[str, Any]:
    shares = [float(markup.blended) for markup in one.markups]
    return {
        "platform": one.platform, "count": len(shares), "equal": one.equal,
        "median": float(one.median) if one.median is not None else None,
        "low": min(shares, default=None), "high": max(shares, default=None),
        "claimed": [{"low": decimal_text(c.low), "high": decimal_text(c.high), "source": c.source.title}
                    for c in one.claims],
        "assumed_left_out": one.doubtful,
    }  # fmt: skip


def compare_rows(view: View) -> list[dict[str, Any]]:
    """One row a model where providers were named, else one a provider."""
    head = {"at": view["at"], "mix": view["mix"]}
    return [head | dict(one) for one in (view["models"] or view["providers"])]


# --- tables --------------------------------------------------------------------------------------


def compare_table(view: View) -> Iterator[Any]:
    """What a person reads: providers, bands, tiers, output against input, clouds."""
    yield from _head(view)
    yield from _models(view) if view["models"] else _providers(view)
    if view["bands"]:
        yield from _bands(view)
    if view["tiers"]:
        yield from _tiers(view)
    if view["ratios"]:
        yield from _output(view)
    if view["markups"]:
        yield from _markups(view)
    yield from notes(view)


def _head(view: View) -> Iterator[Any]:
    if not view["providers"]:
        yield from say(f"No text model has a known price at {view['at']}.")
        return
    low = min(view["providers"], key=lambda row: Fraction(row["output_low"]))
    high = max(view["providers"], key=lambda row: Fraction(row["output_high"]))
    times = float(Fraction(high["output_high"]) / Fraction(low["output_low"]))
    yield from say(
        f"{view['count']:,} offers of {view['models_count']:,} text models by {_providers_of(view)} at "
        f"{view['at']}. Output costs from ${money(low['output_low'])} ({low['provider']}) to "
        f"${money(high['output_high'])} ({high['provider']}): {times:,.0f} times. Dollars per million tokens."
    )


def _providers_of(view: View) -> str:
    count = view["providers_count"]
    return f"{count} provider{'' if count == 1 else 's'}"


def _providers(view: View) -> Iterator[Any]:
    for kind, title in _KINDS.items():
        rows = [row for row in view["providers"] if row["kind"] == kind]
        if not rows:
            continue
        yield from say(f"\n{title}:\n")
        table = plain_table("Provider", "Offers", "Input: low", "median", "high", "Output: low", "median", "high",
                            f"{view['mix']} median")  # fmt: skip
        for row in rows[:_SHOWN]:
            prices = [money(row[f"{name}_{end}"]) for name in ("input", "output") for end in ("low", "median", "high")]
            table.add_row(row["name"], str(row["count"]), *prices, money(row["blended_median"]))
        yield table
        if len(rows) > _SHOWN:
            yield from say(f"{len(rows) - _SHOWN} more in --json and --csv.")
    if view["flagships"]:
        yield from say(f"\nBest-scored model that each maker sells itself ({view['benchmark']}):\n")
        table = plain_table("Provider", "Model", "Input", "Output", view["mix"], "Score", left=2)
        for one in view["flagships"][:_SHOWN]:
            table.add_row(one["provider"], one["model"], money(one["input"]), money(one["output"]),
                          money(one["blended"]), number(one["score"], 1))  # fmt: skip
        yield table


def _models(view: View) -> Iterator[Any]:
    yield from say("")
    table = plain_table("Offer", "Made by", "Input", "Output", view["mix"], "Out / in", left=2)
    for one in view["models"]:
        made = "" if one["maker"] == one["provider"] else one["maker"] or ""
        table.add_row(one["id"], made, money(one["input"]), money(one["output"]), money(one["blended"]),
                      number(one["output_over_input"], 1))  # fmt: skip
    yield table


def _bands(view: View) -> Iterator[Any]:
    fit = "" if view["bands_fit"] is None else f"; they explain {view['bands_fit']:.0%} of the variance of logarithms"
    yield from say(f"\nPrice bands, {view['mix']} ({view['bands_method']}{fit}):\n")
    table = plain_table("From", "to", "Models", "Output", "Widely sold", left=0, last_left=True)
    for band in view["bands"]:
        output = (
            UNKNOWN if band["output_low"] is None else f"{money(band['output_low'])} – {money(band['output_high'])}"
        )
        table.add_row(money(band["low"]), money(band["high"]), str(band["count"]), output, ", ".join(band["examples"]))
    yield table


def _tiers(view: View) -> Iterator[Any]:
    yield from say(f"\nCapability tiers by {view['benchmark']}:\n")
    table = plain_table("Tier", "Score", "Models", f"{view['mix']}: low", "median", "high", "Output", "Cheapest",
                        last_left=True)  # fmt: skip
    for tier in view["tiers"]:
        output = (
            UNKNOWN if tier["output_low"] is None else f"{money(tier['output_low'])} – {money(tier['output_high'])}"
        )
        table.add_row(tier["tier"], score_range(tier), str(tier["count"]), money(tier["low"]),
                      money(tier["median"]), money(tier["high"]), output, tier["cheapest"] or "")  # fmt: skip
    yield table


def score_range(tier: View) -> str:
    """ "1471.1 and more", "1417.3 – 1471.1", "below 1315.2": the lowest tier's floor is no score."""
    low, high = tier["score_low"], tier["score_high"]
    if high is None:
        return f"{low:.1f} and more" if low else "any"
    return f"{low:.1f} – {high:.1f}" if low else f"below {high:.1f}"


def _output(view: View) -> Iterator[Any]:
    yield from say("\nA token of output costs so many times a token of input:\n")
    table = plain_table("Provider", "Offers", "Lowest", "Quarter", "Median", "Three quarters", "Highest")
    for one in view["ratios"][: _SHOWN + 1]:
        table.add_row(
            one["name"], str(one["count"]), *(number(one[key], 1) for key in ("low", "p25", "median", "p75", "high"))
        )
    yield table
    if len(view["ratios_over_time"]) > 1:
        then = ", ".join(f"{one['date'][:7]} {one['median']:.1f} ({one['count']})" for one in view["ratios_over_time"])
        yield from say(f"\nMedian over time, of makers' own models (how many): {then}.")


def _markups(view: View) -> Iterator[Any]:
    yield from say("\nMark-up of cloud platforms over the makers' own prices, 3:1:\n")
    table = plain_table("Platform", "Offers", "Same price", "Median", "Lowest", "Highest", "Claimed")
    for one in view["markups"]:
        claimed = ", ".join(f"{_share(float(c['low']))} to {_share(float(c['high']))}" for c in one["claimed"])
        table.add_row(one["platform"], str(one["count"]), str(one["equal"]), _share(one["median"]), _share(one["low"]),
                      _share(one["high"]), claimed)  # fmt: skip
    yield table


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:+.0f} %" if round(100 * share) else "0 %"
