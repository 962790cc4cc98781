"""Our history of list prices: it loads, holds what is known, and refuses what is wrong with its line."""

from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import resources

import pytest

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.rates import history
from farthing.rates.history import HistoryOffer, HistoryPrice, read_history

HEAD = '''provider = "openai"
prices = """
'''
TAIL = '''"""

[source.litellm]
title = "LiteLLM"
where = "x"
seen = 2026-11-22
grade = "derived"
'''


def offer(provider: str, model: str, channel: str = "direct") -> HistoryOffer:
    (found,) = [o for o in history.offers(provider) if (o.model, o.channel) == (model, channel)]
    return found


def at(found: HistoryOffer, day: str) -> HistoryPrice:
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return [price for price in found.prices if price.start <= moment][-1]


KNOWN = [
    # provider, model, a day, dollars per million tokens in and out: what vendors charged then
    ("openai", "gpt-4", "2023-03-14", "30", "60"),
    ("openai", "gpt-3.5-turbo", "2023-03-02", "2", "2"),
    ("openai", "gpt-3.5-turbo", "2023-06-14", "1.5", "2"),
    ("openai", "gpt-3.5-turbo", "2024-02-17", "0.5", "1.5"),
    ("openai", "gpt-3.5-turbo", "2026-06-01", "0.5", "1.5"),
    ("openai", "gpt-4-1106-preview", "2023-11-06", "10", "30"),
    ("openai", "gpt-4o", "2024-07-01", "5", "15"),
    ("openai", "gpt-4o", "2024-10-20", "2.5", "10"),
    ("openai", "gpt-4o-mini", "2024-08-01", "0.15", "0.6"),
    ("openai", "o3", "2025-06-09", "10", "40"),
    ("openai", "o3", "2025-06-10", "2", "8"),
    ("anthropic", "claude-2", "2023-11-10", "11.02", "32.68"),
    ("anthropic", "claude-2", "2023-12-20", "8", "24"),
    ("anthropic", "claude-3-5-haiku-20241022", "2024-11-10", "1", "5"),
    ("anthropic", "claude-3-5-haiku-20241022", "2025-01-01", "0.8", "4"),
    ("anthropic", "claude-opus-4-1-20250805", "2025-09-15", "15", "75"),
    ("anthropic", "claude-opus-4-5-20251101", "2025-12-15", "5", "25"),
    ("google", "gemini-1.5-flash", "2024-08-02", "0.35", "1.05"),
    ("google", "gemini-1.5-flash", "2024-11-02", "0.075", "0.3"),
    ("deepseek", "deepseek-chat", "2025-02-01", "0.14", "0.28"),
    ("deepseek", "deepseek-chat", "2025-02-16", "0.27", "1.1"),
    ("mistral", "mistral-large-latest", "2024-06-02", "8", "24"),
    ("mistral", "mistral-large-latest", "2025-02-01", "2", "6"),
    ("cohere", "command-r-plus", "2024-07-01", "3", "15"),
    ("cohere", "command-r-plus", "2024-12-01", "2.5", "10"),
]


@pytest.mark.parametrize(("provider", "model", "day", "input_usd", "output_usd"), KNOWN)
def test_known_prices(provider: str, model: str, day: str, input_usd: str, output_usd: str) -> None:
    price = at(offer(provider, model), day)
    assert (price.usd_per_mtok["input"], price.usd_per_mtok["output"]) == (Decimal(input_usd), Decimal(output_usd))


def test_known_mistakes_are_not_in_it() -> None:
    """Vertex's 1.5 Pro stood at 0.625, 0.3125 and 0.078125 in LiteLLM (characters for tokens), Phi-4 at 320 for a
    million output tokens (a unit slip), Novita at ten thousand times its prices."""
    vertex = offer("google", "gemini-1.5-pro", "vertex")
    assert not {Decimal("0.625"), Decimal("0.3125"), Decimal("0.078125")} & {
        price.usd_per_mtok["input"] for price in vertex.prices
    }
    everything = [p for o in history.offers() for p in o.prices]
    assert max(p.usd_per_mtok["output"] for p in everything if "output" in p.usd_per_mtok) <= 1000
    novita = [p.usd_per_mtok for o in history.offers("novita") for p in o.prices]
    assert novita and max(usd["output"] for usd in novita if "output" in usd) <= 20


def test_it_is_whole_and_in_order() -> None:
    assert {"openai", "anthropic", "google", "mistral", "deepseek", "aws", "azure", "groq"} <= set(history.providers())
    offers = history.offers()
    assert len(offers) > 3000 and min(o.prices[0].start for o in offers) == datetime(2023, 3, 1, tzinfo=UTC)
    for one in offers:
        starts = [price.start for price in one.prices]
        assert starts == sorted(set(starts)), one.model
        for price in one.prices:
            assert price.after is None or price.after < price.start
            assert "input" in price.usd_per_mtok and price.source.grade is not None
            assert all(usd > 0 for usd in price.usd_per_mtok.values())
    assert {p.source.grade for o in offers for p in o.prices} <= {Grade.ASSUMED, Grade.DERIVED, Grade.VENDOR_STATED}


def test_an_unknown_provider_has_no_history() -> None:
    assert history.offers("nobody") == []


def test_the_packaged_files_are_what_the_loader_lists() -> None:
    folder = resources.files("farthing") / "data" / "history"
    names = {file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")}
    assert names == set(history.providers())


def test_a_file_is_read() -> None:
    text = (
        HEAD
        + "@ m chat channel=azure gone=2025-01-15\n"
        + "2024-01-01 input=5 output=15 litellm\n"
        + "2024-02-01<2024-03-01? input=2.50 output=10 cache_read=1.25 batch.input=1.25 litellm@1.2\n"
        + TAIL
    )
    (found,) = read_history(text, "x.toml")
    assert (found.provider, found.model, found.channel, found.mode) == ("openai", "m", "azure", "chat")
    assert found.gone == datetime(2025, 1, 15, tzinfo=UTC)
    first, second = found.prices
    assert (first.start, first.after, first.sure) == (datetime(2024, 1, 1, tzinfo=UTC), None, True)
    assert (second.after, second.sure) == (datetime(2024, 2, 1, tzinfo=UTC), False)
    assert second.usd_per_mtok == {"input": Decimal("2.50"), "output": Decimal(10), "cache_read": Decimal("1.25")}
    assert second.batch_usd_per_mtok == {"input": Decimal("1.25")}
    assert (second.source.id, second.source.title, second.source.seen) == (
        "litellm", "LiteLLM, release 1.2", date(2026, 11, 22),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2024-01-01 input=5 litellm", "a price before any offer"),
        ("@ m", "an offer without id or mode"),
        ("@ m chat", "m has no price"),
        ("@ m chat canal=x\n2024-01-01 input=5 litellm", "'canal=x' is not known here"),
        ("@ m chat gone=soon\n2024-01-01 input=5 litellm", "'soon' is not a day"),
        ("@ m chat gone=2023-01-01\n2024-01-01 input=5 litellm", "gone before its last price"),
        ("@ m chat\n2024-01-01 litellm", "too short"),
        ("@ m chat\n2024-02-30 input=5 litellm", "'2024-02-30' is not a day"),
        ("@ m chat\n2024-02-01<2024-01-01 input=5 litellm", "ends before it begins"),
        ("@ m chat\n2024-02-01 input=5 litellm\n2024-01-01 input=4 litellm", "is not after the line before it"),
        ("@ m chat\n2024-01-01 inptu=5 litellm", "'inptu' is not a meter of tokens"),
        ("@ m chat\n2024-01-01 image=5 litellm", "'image' is not a meter of tokens"),
        ("@ m chat\n2024-01-01 input=cheap litellm", "input=cheap is not a number"),
        ("@ m chat\n2024-01-01 input=-5 litellm", "input=-5 is not a price"),
        ("@ m chat\n2024-01-01 input=NaN litellm", "is not a price"),
        ("@ m chat\n2024-01-01 input=5 input=6 litellm", "input stands twice"),
        ("@ m chat\n2024-01-01 input=5 openrouter", "no [source.openrouter]"),
        ("@ m chat\n2024-01-01 input=5 litellm\n@ m chat\n2024-01-01 input=5 litellm", "m stands twice"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(line: str, says: str) -> None:
    with pytest.raises(FarthingError) as error:
        read_history(HEAD + line + "\n" + TAIL, "x.toml")
    text = str(error.value)
    assert says in text and text.startswith("x.toml:") and "\n" not in text and text.endswith(")")
    assert 2 < int(text.split(":")[1]) < 9


def test_the_frame_of_a_file_is_strict_too() -> None:
    good = HEAD + "@ m chat\n2024-01-01 input=5 litellm\n" + TAIL
    assert read_history(good, "x")
    for bad, says in (
        (good.replace("provider", "privoder"), "'provider' is missing"),
        (good.replace('grade = "derived"', 'grade = "sure"'), "grade 'sure'"),
        (good + "more = 1\n", "unknown key 'more'"),
        ("more = 1\n" + good, "unknown key 'more'"),
    ):
        with pytest.raises(FarthingError) as error:
            read_history(bad, "x.toml")
        assert says in str(error.value)
