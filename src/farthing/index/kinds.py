"""Kinds of price: one number from the prices of a quote, exactly; None where a price that it needs is unknown.

A token that somebody asks to be cached costs the input price where the provider states no other: providers without a
cache bill it as input.
"""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import msgspec

from farthing.index.line import Quote
from farthing.problems import FarthingError
from farthing.units import CACHE_READS, CACHE_WRITES, METERS, MICRO

Kind = Callable[[Quote], Fraction | None]
"""From a quote to one price: dollars per million tokens (`per_task`: dollars per task)."""
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_PARTS = ("input", "output", "cached input", "input written to a cache")


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens of each sort go together: uncached input, output, input read from a cache, input written to one
    (for the provider's shortest time). Only their ratios count."""

    input: Fraction
    output: Fraction
    cached: Fraction = Fraction(0)
    written: Fraction = Fraction(0)

    @classmethod
    def parse(cls, text: str) -> "Mix":
        """The mix that `text` writes as "3:1", "3:1:2" (cached) or "3:1:2:1" (written). Raises `FarthingError`."""
        parts = text.strip().split(":")
        if not 2 <= len(parts) <= len(_PARTS):
            raise FarthingError(
                f"mix {text!r} is not INPUT:OUTPUT[:CACHED[:WRITTEN]] such as 3:1, nor a usage file that is there"
            )
        numbers = [_part(text, name, part) for name, part in zip(_PARTS, parts, strict=False)]
        made = cls(**dict(zip(("input", "output", "cached", "written"), numbers, strict=False)))
        if not made.whole:
            raise FarthingError(
                f"mix {text!r} has no tokens; write parts of which one at least is above 0, such as 3:1"
            )
        return made

    @property
    def whole(self) -> Fraction:
        """The sum of the parts."""
        return self.input + self.output + self.cached + self.written

    @property
    def prompt(self) -> Fraction:
        """The parts that are read: uncached, cached and written input."""
        return self.whole - self.output

    def __str__(self) -> str:
        parts = [self.input, self.output, self.cached, self.written]
        while len(parts) > 2 and not parts[-1]:
            parts.pop()
        return ":".join(f"{float(part):.4g}" for part in parts)


def _part(text: str, name: str, part: str) -> Fraction:
    if not _NUMBER.fullmatch(part.strip()):
        raise FarthingError(f"mix {text!r}: the part of {name} is {part!r}, not a number of at least 0; write 3:1")
    return Fraction(part.strip())


def mix_of_usage(quantities: Mapping[str, int]) -> Mix:
    """The mix of the tokens in `quantities` (by meter, as `usage.summary` counts them), scaled to one output token
    where there is output. Raises `FarthingError` where there are no tokens."""
    tokens = {name: count for name, count in quantities.items() if METERS[name].unit == "token"}
    output = sum(n for name, n in tokens.items() if METERS[name].direction == "output" and not METERS[name].part_of)
    cached = sum(tokens.get(name, 0) for name in CACHE_READS)
    written = sum(tokens.get(name, 0) for name in CACHE_WRITES)
    prompt = sum(n for name, n in tokens.items() if METERS[name].prompt)
    if not prompt + output:
        raise FarthingError("the usage has no tokens, so no mix of input and output; give --mix 3:1")
    one = Fraction(1, output or prompt)
    return Mix(input=(prompt - cached - written) * one, output=output * one, cached=cached * one, written=written * one)


def mix_from(text: str) -> Mix:
    """The mix that `text` writes, or that of the usage file which it names. Raises `FarthingError`."""
    if not Path(text).expanduser().exists():
        return Mix.parse(text)
    from farthing.problems import Problems
    from farthing.usage.read import read_usage
    from farthing.usage.summary import summarise

    problems = Problems()
    return mix_of_usage(summarise(read_usage([Path(text).expanduser()], problems), problems).quantities)


# --- kinds ---------------------------------------------------------------------------------------


def list_price(meter: str) -> Kind:
    """The list price of `meter` ("input", "output", "cache_read", …), in dollars per million tokens."""

    def price(quote: Quote) -> Fraction | None:
        return quote.usd_per_mtok.get(meter)

    return price


def blended(mix: Mix) -> Kind:
    """The list price of a million tokens of which each part of `mix` is a share: Σ part x price / Σ parts."""

    def price(quote: Quote) -> Fraction | None:
        return _blend(mix, quote.usd_per_mtok)

    return price


def effective(
    mix: Mix,
    cached_share: Fraction = Fraction(0),
    batch_share: Fraction = Fraction(0),
    written_share: Fraction = Fraction(0),
) -> Kind:
    """`blended` as traffic allows: `cached_share` of all input is read from a cache and `written_share` is written to
    one (in place of the mix's own cached parts, unless both are 0), and `batch_share` of the tokens run in batch.

    A meter without a batch price costs its standard price there. Raises `FarthingError` for shares outside 0 to 1.
    """
    for name, share in (("cached", cached_share), ("batch", batch_share), ("written", written_share)):
        if not 0 <= share <= 1:
            raise FarthingError(f"{name} share {float(share):g} is not between 0 and 1")
    if cached_share + written_share > 1:
        raise FarthingError(f"cached and written shares make {float(cached_share + written_share):g}, above 1")
    if cached_share or written_share:
        mix = Mix(
            input=mix.prompt * (1 - cached_share - written_share),
            output=mix.output,
            cached=mix.prompt * cached_share,
            written=mix.prompt * written_share,
        )

    def price(quote: Quote) -> Fraction | None:
        standard = _blend(mix, quote.usd_per_mtok)
        batch = _blend(mix, {**quote.usd_per_mtok, **quote.batch_usd_per_mtok}) if batch_share else standard
        return None if standard is None or batch is None else (1 - batch_share) * standard + batch_share * batch

    return price


def per_task(
    tokens_in: Fraction | int,
    tokens_out: Fraction | int,
    tokenizer_ratio: Fraction | int = 1,
    reasoning: Fraction | int = 0,
) -> Kind:
    """Dollars for one task: `tokens_in` read, `tokens_out` answered and `reasoning` thought (billed as output), all in
    tokens of a reference tokenizer and stretched by `tokenizer_ratio` (the model's tokens per reference token).

    What is the same for all models cancels in a matched-model index; a model's own answer length, reasoning and ratio
    make the price of its task comparable with another's.
    Raises `FarthingError` for counts below 0, a task without tokens, and a ratio that is not above 0.
    """
    for name, count in (("in", tokens_in), ("out", tokens_out), ("of reasoning", reasoning)):
        if count < 0:
            raise FarthingError(f"a task of {float(count):g} tokens {name}: the count is below 0")
    if tokenizer_ratio <= 0:
        raise FarthingError(f"tokenizer ratio {float(tokenizer_ratio):g} is not above 0")
    read, written = Fraction(tokens_in), Fraction(tokens_out) + Fraction(reasoning)
    if not read + written:
        raise FarthingError("a task without tokens has no price; state tokens in or out")
    price_of_one = blended(Mix(input=read, output=written))
    mtok = (read + written) * Fraction(tokenizer_ratio) / MICRO

    def price(quote: Quote) -> Fraction | None:
        found = price_of_one(quote)
        return None if found is None else found * mtok

    return price


def _blend(mix: Mix, usd: Mapping[str, Fraction]) -> Fraction | None:
    plain = usd.get("input")
    prices = (
        (mix.input, plain),
        (mix.output, usd.get("output")),
        (mix.cached, usd.get("cache_read", plain)),
        (mix.written, usd.get("cache_write_5m", plain)),
    )
    total = Fraction(0)
    for part, price in prices:
        if part:
            if price is None:
                return None
            total += part * price
    return total / mix.whole
