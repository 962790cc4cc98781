"""Slips in our history of prices: all that is far from the same model elsewhere or from itself a moment before.

What such a search finds was looked at, one by one; what is left is named below with the reason. A new one fails here.
"""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median

from farthing.rates import history
from farthing.rates.family import family
from farthing.rates.history import HistoryOffer, HistoryPrice

END = datetime(2100, 1, 1, tzinfo=UTC)
FAR = 8
TOKENS = ("input", "output")

ONLY_BY_SIZE = ("fireworks",)
"""Fireworks asks one price for all models of a size."""
RESOLD = ("openrouter",)
"""OpenRouter shows its cheapest host's price, which is far from the usual while one host has an offer."""

UNLIKE_OTHERS = {
    # Cheaper than all others while the offer lasted.
    ("deepinfra", "meta-llama/Llama-3.3-70B-Instruct-Turbo"), ("deepinfra", "meta-llama/Llama-3.2-1B-Instruct"),
    ("wandb", "Qwen/Qwen3-235B-A22B-Thinking-2507"), ("lambda_ai", "llama-4-maverick-17b-128e-instruct-fp8"),
    ("nebius", "Qwen/Qwen2.5-Coder-7B"), ("nscale", "Qwen/Qwen2.5-Coder-7B-Instruct"),
    ("nscale", "Qwen/Qwen2.5-Coder-3B-Instruct"), ("nebius", "meta-llama/Llama-Guard-3-8B"),
    ("nebius", "Qwen/Qwen2-VL-7B-Instruct"), ("nebius", "Qwen/Qwen2.5-32B-Instruct"),
    ("nebius", "Qwen/Qwen3-Embedding-8B"),
    # Dear ones: the host's own price page says so.
    ("together", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"), ("together", "Qwen/Qwen2.5-VL-72B-Instruct"),
    ("sambanova", "Qwen2.5-Coder-32B-Instruct"),
    # Fireworks' price by size is what the other side is compared with.
    ("novita", "minimaxai/minimax-m1-80k"),
    # Text tokens in one list, audio tokens in the other.
    ("azure", "gpt-4o-mini-audio-preview-2024-12-17"), ("openai", "gpt-4o-mini-audio-preview"),
    ("openai", "gpt-4o-mini-audio-preview-2024-12-17"),
    # The name leads to another model on each platform.
    ("mistral", "mistral-large-latest"),
    # Likely wrong in LiteLLM (another model's price), and no other list says what is right: docs/price-history.md.
    ("hyperbolic", "deepseek-ai/DeepSeek-R1"), ("hyperbolic", "deepseek-ai/DeepSeek-R1-0528"),
    ("hyperbolic", "meta-llama/Meta-Llama-3.1-405B-Instruct"), ("hyperbolic", "Qwen/Qwen3-235B-A22B"),
    ("deepinfra", "meta-llama/Meta-Llama-3.1-405B-Instruct"),
    # Image tokens from the second list on.
    ("google", "gemini-2.5-flash-image-preview"),
}  # fmt: skip

GREAT_STEPS = {
    # The name leads to a newer model, or to another price list of the same vendor's.
    ("mistral", "mistral-small-latest"), ("openrouter", "aion-labs/aion-rp-llama-3.1-8b"),
    # Text or image tokens after audio or text tokens.
    ("azure", "gpt-4o-mini-audio-preview-2024-12-17"), ("google", "gemini-2.5-flash-image-preview"),
    ("x-ai", "grok-3-fast-beta"),
    # Not settled by the lists, and marked so.
    ("cohere", "command"), ("cohere", "command-nightly"), ("groq", "llama-3.1-8b-instant"),
    ("google", "mistral-nemo@latest"), ("openrouter", "deepseek/deepseek-v4-flash-0731"),
    # The last cheap host left.
    ("openrouter", "meta-llama/llama-3.2-1b-instruct"), ("openrouter", "meta-llama/llama-3.2-3b-instruct"),
    ("openrouter", "qwen/qwen-2.5-coder-32b-instruct"), ("openrouter", "qwen/qwen3-235b-a22b-thinking-2507"),
}  # fmt: skip


def spells(offer: HistoryOffer) -> list[tuple[HistoryPrice, datetime]]:
    ends = [*(price.start for price in offer.prices[1:]), offer.gone or END]
    return list(zip(offer.prices, ends, strict=True))


def test_no_price_is_far_from_the_same_model_at_other_hosts() -> None:
    by_family: dict[str, list[tuple[HistoryOffer, HistoryPrice, datetime]]] = defaultdict(list)
    for offer in history.offers():
        by_family[family(offer.model)] += [(offer, price, end) for price, end in spells(offer)]
    far = set()
    for rows in by_family.values():
        for offer, price, end in rows:
            for meter in TOKENS:
                mine = price.usd_per_mtok.get(meter)
                theirs: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
                for other, said, until in rows:
                    host = (other.provider, other.channel)
                    at_once = said.start < end and price.start < until and meter in said.usd_per_mtok
                    if host != (offer.provider, offer.channel) and at_once:
                        theirs[host].append(said.usd_per_mtok[meter])
                if mine is None or not theirs:
                    continue
                usual = median(median(usd) for usd in theirs.values())
                if max(mine / usual, usual / mine) >= FAR:
                    far.add((offer.provider, offer.model))
    assert {one for one in far if one[0] not in (*ONLY_BY_SIZE, *RESOLD)} <= UNLIKE_OTHERS


def test_no_price_steps_far_or_by_a_power_of_ten() -> None:
    far, unmarked = set(), set()
    for offer in history.offers():
        for one, two in zip(offer.prices, offer.prices[1:], strict=False):
            for meter in TOKENS:
                before, now = one.usd_per_mtok.get(meter), two.usd_per_mtok.get(meter)
                if before and now and (max(before / now, now / before) >= FAR):
                    far.add((offer.provider, offer.model))
                    # A price that fell by exactly 10, of one model, is no cut that anybody has announced.
                    if {before / now, now / before} & {Decimal(10) ** k for k in range(1, 7)} and two.sure:
                        unmarked.add((offer.provider, offer.model))
    assert far <= GREAT_STEPS
    assert unmarked <= {("mistral", "mistral-small-latest"), ("x-ai", "grok-3-fast-beta")}


def test_no_price_comes_and_goes_between_two_spells_of_another() -> None:
    """A to B to A: a late list once made such a pair of every cut (gpt-5.6-luna went back to five times its price)."""
    flickers = set()
    for offer in history.offers():
        for one, two, three in zip(offer.prices, offer.prices[1:], offer.prices[2:], strict=False):
            prices = [tuple(p.usd_per_mtok.get(meter) for meter in TOKENS) for p in (one, two, three)]
            if prices[0] == prices[2] != prices[1] and offer.provider not in RESOLD:
                flickers.add((offer.provider, offer.model))
    assert flickers <= {("deepinfra", "Qwen/Qwen3-Coder-480B-A35B-Instruct-Turbo")}


def test_prices_hang_together() -> None:
    for offer in history.offers():
        for price in offer.prices:
            usd = price.usd_per_mtok
            plain, output = usd["input"], usd.get("output")
            assert plain <= 200 and (output is None or plain / 4 <= output <= 700), offer.model
            for meter, most in (("cache_read", "1.1"), ("cache_write", "2.1"), ("cache_write_1h", "2.1")):
                assert usd.get(meter, Decimal(0)) <= plain * Decimal(most), (offer.model, meter)
            for meter, batch in price.batch_usd_per_mtok.items():
                assert batch <= usd.get(meter, batch), (offer.model, meter)


def test_what_others_found_is_right_now() -> None:
    every = {(one.provider, one.model, one.channel): one for one in history.offers()}
    # 1.63 and 5.51 were written a tenth of that in December 2023; claude-instant-1 beside it kept them.
    assert [p.usd_per_mtok["input"] for p in every["anthropic", "claude-instant-1.2", "direct"].prices] == [
        Decimal("1.63")
    ]
    luna = [p.usd_per_mtok["input"] for p in every["openai", "gpt-5.6-luna", "direct"].prices]
    assert luna == sorted(luna, reverse=True) and {luna[0], luna[-1]} == {Decimal(1), Decimal("0.2")}
    # genai-prices' notes: a promotion of 0.68 until 20 October 2026, then 1.36, from 29 October 0.70.
    large = [
        (str(p.start.date()), str(p.usd_per_mtok["input"]))
        for p in every["mistral", "mistral-large-4", "direct"].prices
    ]
    assert large == [("2026-10-15", "0.68"), ("2026-10-20", "1.36"), ("2026-10-29", "0.7")]
    gemini = [o for (provider, model, _), o in every.items() if provider == "google" and model.startswith("gemini-")]
    assert min(p.usd_per_mtok["input"] for o in gemini for p in o.prices) >= Decimal("0.03")
    assert not [o.model for o in every.values() if "flux-" in o.model.lower() or "controlnet" in o.model]
    assert max(p.usd_per_mtok["input"] for o in history.offers("wandb") for p in o.prices) <= 5
