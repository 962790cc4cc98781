"""Deployments of one's own among the candidates of a replay: their rates are those of the usage's own lengths."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.policies.hosted import with_hosts
from farthing.policies.question import Question
from farthing.policies.replay import replay
from farthing.problems import FarthingError, Problems
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.toml import load_card
from farthing.serving.estimate import Estimate
from farthing.serving.hosted import estimated, hosted, parse, save, to_rate
from farthing.units import CACHE_READS
from farthing.usage.read import read_usage
from farthing.usage.record import Usage
from farthing.usage.table import view_parquet

AT = datetime(2026, 11, 4, 12, tzinfo=UTC)
TODAY = date(2026, 11, 21)
OURS = "llama-3.1-8b@h100-sxm"
CARD = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 4
cache_read = 0.4
output = 20
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def usage(number: int = 0, requests: int = 1, **counts: int) -> Usage:
    return Usage(
        at=AT + timedelta(minutes=number), quantities=counts, provider="acme", model_served="m", requests=requests
    )


def asked(to: list[str], rows: list[Usage], book: Book | None = None) -> tuple[tuple[str, ...], Book]:
    return with_hosts(to, book or Book(), lambda: iter(rows), None, TODAY)


def rates(book: Book, name: str) -> dict[str, Fraction]:
    offer = book.find(name)
    assert isinstance(offer, Offer)
    return {rate.meter: Fraction(rate.amount) for rate in offer.prices[0].rates if rate.amount is not None}


def said(input: float, output: float, hit: float = 0.0, spec: str = OURS) -> dict[str, Fraction]:
    found: Estimate = estimated(parse(spec), input, output, hit, TODAY)
    assert found.usd_per_mtok_input is not None and found.usd_per_mtok_output is not None
    return {"input": Fraction(to_rate(found.usd_per_mtok_input.value)),
            "output": Fraction(to_rate(found.usd_per_mtok_output.value))}  # fmt: skip


def test_without_a_host_nothing_is_read_or_changed() -> None:
    def never() -> Iterator[Usage]:
        raise AssertionError("the usage was read")

    book = Book()
    assert with_hosts(["openai/gpt-5-mini", "groq/*"], book, never, None, TODAY) == (
        ("openai/gpt-5-mini", "groq/*"), book,
    )  # fmt: skip
    assert with_hosts([], book, never, None, TODAY) == ((), book)


def test_the_rates_are_those_of_the_usages_mean_lengths() -> None:
    """(1,000 + 3,000) / 2 in, (100 + 500) / 2 out."""
    to, book = asked([f"host:{OURS}"], [usage(input=1000, output=100), usage(1, input=3000, output=500)])
    assert to == (f"host/{OURS}",)
    found = rates(book, to[0])
    assert {name: found[name] for name in ("input", "output")} == said(2000, 300)
    assert found != rates(asked([f"host:{OURS}"], [usage(input=100, output=900)])[1], to[0])


def test_a_sum_over_requests_counts_as_many() -> None:
    rows = [usage(requests=9, input=9000, output=900), usage(1, input=1000, output=100)]
    assert rates(asked([f"host:{OURS}"], rows)[1], f"host/{OURS}")["output"] == said(1000, 100)["output"]


def test_what_was_cached_there_is_found_in_the_machines_own_cache() -> None:
    """500 of 2,000 prompt tokens were read from a cache, 300 written to one: a quarter is found."""
    _, book = asked([f"host:{OURS}"], [usage(input=1200, cache_read=500, cache_write_5m=300, output=100)])
    found = rates(book, f"host/{OURS}")
    assert {name: found[name] for name in ("input", "output")} == said(2000, 100, 0.25)
    assert found["cache_read"] == 0 and found["cache_write_5m"] == found["input"]


def test_a_stated_prefix_hit_comes_before_the_usages() -> None:
    """Nothing was cached there, half is found here: half of what is charged as input is computed."""
    _, book = asked([f"host:{OURS},prefix-hit=0.5"], [usage(input=2000, output=100)])
    found, half = rates(book, f"host/{OURS},prefix-hit=0.5"), said(2000, 100, 0.5)
    assert float(found["input"]) == pytest.approx(float(half["input"]) / 2, rel=1e-5)
    assert found["output"] == half["output"]


def test_a_star_in_a_name_is_no_pattern() -> None:
    spec = "llama-3.1-70b@h100-sxm*4,weights=fp8"
    to, book = asked([f"host:{spec}"], [usage(input=1000, output=100)])
    assert to == ("host/llama-3.1-70b@h100-sxm×4,weights=fp8",)
    answer = replay(lambda: iter([usage(input=1000, output=100)]), book,
                    Question(to=to, policies=("as-is",), now=datetime(2026, 11, 21, tzinfo=UTC)))  # fmt: skip
    assert [row.offer for row in answer.rows] == list(to)


def test_the_order_of_candidates_is_kept_and_cards_too(tmp_path: Path) -> None:
    save(hosted("ours", {"model": "llama-3.1-8b", "device": "h100-sxm"}), tmp_path / "farthing-hosts.toml")
    mine = Book([load_card(CARD)])
    to, book = asked(["acme/m", "host:ours", "openai/gpt-5-mini"], [usage(input=10, output=10)], mine)
    assert to == ("acme/m", "host/ours", "openai/gpt-5-mini")
    assert rates(book, "acme/m")["output"] == 20
    assert rates(book, "host/ours")["output"] == said(10, 10)["output"]
    with pytest.raises(FarthingError, match="host"):
        mine.find("host/ours")  # the book that came in is as it was


def test_charges_through_the_book_are_tokens_times_rate() -> None:
    rows = [usage(input=1000, cache_read=400, output=100), usage(1, input=3000, output=500)]
    to, book = asked([f"host:{OURS}", "acme/m"], rows, Book([load_card(CARD)]))
    answer = replay(lambda: iter(rows), book, Question(to=to, policies=("as-is",),
                    now=datetime(2026, 11, 21, tzinfo=UTC)))  # fmt: skip
    ours, theirs = answer.rows
    found = rates(book, to[0])
    assert ours.total_usd == (4000 * found["input"] + 600 * found["output"]) / 1_000_000
    # 4,000 × 4 + 400 × 0.4 + 600 × 20 = 28,160 micro-dollars
    assert theirs.total_usd == answer.as_is.total_usd == Fraction(28_160, 1_000_000)
    assert ours.ratio is not None and theirs.ratio == 1


counts = st.tuples(st.integers(0, 5000), st.integers(0, 3000), st.integers(0, 800))


@settings(deadline=None, max_examples=25)
@given(st.lists(counts, min_size=1, max_size=8))
def test_a_table_in_columns_gives_the_same_rates_as_its_records(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[int, int, int]]
) -> None:
    import duckdb

    path = tmp_path_factory.mktemp("u") / "usage.parquet"
    rows = ", ".join(f"(TIMESTAMPTZ '2026-11-04 12:00:0{n}+00', 'acme', 'm', {i}::BIGINT, {c}::BIGINT, {o}::BIGINT)"
                     for n, (i, c, o) in enumerate(found))  # fmt: skip
    names = '"at", provider, model, input, cache_read, output'
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {rows}) t({names})) TO '{path}' (FORMAT parquet)")
    table = view_parquet([path], Problems())
    assert table is not None

    def made(columns: bool) -> dict[str, Fraction] | str:
        records = lambda: read_usage([str(path)], Problems())  # noqa: E731
        try:
            to, book = with_hosts([f"host:{OURS}"], Book(), records, table if columns else None, TODAY)
        except FarthingError as error:
            return str(error)
        return rates(book, to[0])

    assert made(True) == made(False)


def test_sums_in_a_table_count_as_many(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "usage.parquet"
    row = "TIMESTAMPTZ '2026-11-04 12:00:00+00' AS at, 'acme' AS provider, 'm' AS model"
    counts = "5000::BIGINT AS input, 500::BIGINT AS output, 10::BIGINT AS requests"
    duckdb.execute(f"COPY (SELECT {row}, {counts}) TO '{path}' (FORMAT parquet)")
    table = view_parquet([path], Problems())
    assert table is not None
    _, book = with_hosts([f"host:{OURS}"], Book(), lambda: iter(()), table, TODAY)
    assert rates(book, f"host/{OURS}")["output"] == said(500, 50)["output"]


def test_a_table_without_answers_or_caches_has_none(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "usage.parquet"
    duckdb.execute(f"COPY (SELECT TIMESTAMPTZ '2026-11-04 12:00:00+00' AS at, 'acme' AS provider, 'm' AS model, "
                   f"500::BIGINT AS input) TO '{path}' (FORMAT parquet)")  # fmt: skip
    _, book = with_hosts([f"host:{OURS}"], Book(), lambda: iter(()), view_parquet([path], Problems()), TODAY)
    assert rates(book, f"host/{OURS}")["input"] == said(500, 1)["input"]  # an answer is at least one token
    assert not [name for name in CACHE_READS if rates(book, f"host/{OURS}").get(name)]


@pytest.mark.parametrize(
    ("to", "rows", "message"),
    [
        (f"host:{OURS}", [], "the usage has no tokens"),
        (f"host:{OURS}", [usage(web_search=3)], "the usage has no tokens"),
        ("host:nobody", [usage(input=1)], "host:nobody is neither a saved deployment"),
        ("host:llama-3.1-405b@rtx-4090", [usage(input=1000)], "would fit"),
        (f"host:{OURS}", [usage(input=10_000_000, output=1)], "a larger device is needed"),
        (f"host:{OURS},utilization=2", [usage(input=1000)], "utilization 2: a share"),
        (f"host:{OURS},prefix-hit=1", [usage(input=1000)], "prefix hit 1: a share"),
    ],
)
def test_refusals(to: str, rows: list[Usage], message: str) -> None:
    with pytest.raises(FarthingError, match=message):
        asked([to], rows)
