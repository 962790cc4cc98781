"""GPU rents: averages and offers apart, the index of matched sellers, and the price of tokens against them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade, Source
from farthing.index import gpu, gpu_averages
from farthing.index.gpu_averages import Average
from farthing.index.gpu_tokens import Against, against, against_rents, attribution
from farthing.index.kinds import Mix, blended
from farthing.index.line import Line, Quote
from farthing.problems import FarthingError
from farthing.reports.index_gpu import TokenSeries, gpu_rows, gpu_view
from farthing.serving.market import Rent

D = Decimal


def source(grade: Grade = Grade.VENDOR_STATED, name: str = "s") -> Source:
    return Source(id=name, title="T", where="W", seen=None, grade=grade)


def rent(provider: str, day: date, usd: str, **more: object) -> Rent:
    made = {"devices": ("h100-sxm",), "term": "on-demand", "source": source()} | more
    return Rent(provider=provider, valid_from=day, low=D(usd), high=D(usd), **made)  # type: ignore[arg-type]


def average(publisher: str, day: date, usd: str) -> Average:
    return Average(publisher=publisher, basis="list", device="h100-sxm", term="on-demand", low=D(usd), high=D(usd),
                   day=day, source=source(Grade.DERIVED, publisher))  # fmt: skip


THREE = [rent("a", date(2024, 1, 1), "4"), rent("b", date(2024, 1, 1), "1"), rent("c", date(2024, 2, 1), "2")]


def test_a_change_of_one_seller_of_three() -> None:
    points, why = gpu.matched([*THREE, rent("a", date(2024, 6, 1), "2")])
    assert why == ""
    # From the day on which three are there: 100. Then (2/4 x 1 x 1)^(1/3) = 0.5^(1/3) = 0.7937.
    assert [(p.day, p.count, p.moved) for p in points] == [(date(2024, 2, 1), 3, 0), (date(2024, 6, 1), 3, 1)]
    assert [p.index for p in points] == pytest.approx([100, 79.3701], abs=1e-4)


def test_a_seller_that_comes_or_is_dear_changes_nothing() -> None:
    points, _ = gpu.matched([*THREE, rent("d", date(2024, 4, 1), "99"), rent("a", date(2024, 6, 1), "2")])
    assert [p.index for p in points] == pytest.approx([100, 100, 100 * 0.5 ** (1 / 4)])  # now one of four


def test_sizes_of_one_seller_are_one_seller() -> None:
    """Eight GPUs halved and one unchanged: the seller's relative is sqrt(1/2), and it counts once."""
    both = [*THREE, rent("a", date(2024, 1, 1), "3", gpus=8), rent("a", date(2024, 6, 1), "1.5", gpus=8)]
    points, _ = gpu.matched(both)
    assert points[-1].index == pytest.approx(100 * 0.5 ** (1 / 2 / 3))
    assert points[-1].count == 3


def test_too_few_sellers_or_no_change_give_no_index() -> None:
    assert gpu.matched([])[0] == ()
    points, why = gpu.matched([*THREE[:2], rent("a", date(2024, 6, 1), "2")])
    assert points == () and "2 sellers" in why
    points, why = gpu.matched([*THREE, rent("d", date(2024, 6, 1), "2")])
    assert points == () and why == "no matched index: none of 4 sellers is known to have changed its price"


STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 60), st.integers(1, 100)), max_size=25)


@settings(deadline=None, max_examples=50)
@given(STEPS, st.integers(2, 9))
def test_an_index_knows_no_currency(steps: list[tuple[str, int, int]], scale: int) -> None:
    rents = [rent(name, date.fromordinal(738_000 + 7 * week), str(usd)) for name, week, usd in steps]
    dearer = [rent(name, date.fromordinal(738_000 + 7 * week), str(usd * scale)) for name, week, usd in steps]
    mine, other = gpu.matched(rents)[0], gpu.matched(dearer)[0]
    assert [p.index for p in mine] == pytest.approx([p.index for p in other])
    assert all(p.index > 0 and p.moved <= p.count for p in mine)


def test_wrong_second_hand_and_bundled_statements_are_left_out_and_counted() -> None:
    found = gpu.of_device(
        "h100-sxm",
        [
            *THREE,
            rent("x", date(2024, 3, 1), "0.1", contradicted="it was another machine"),
            rent("y", date(2024, 3, 1), "0.2", source=source(Grade.ASSUMED)),
            rent("z", date(2024, 3, 1), "0.3", min_hours=24),
            rent("index", date(2024, 3, 1), "0.4", kind="index"),
        ],
        [],
        "on-demand",
    )
    assert [(p.day, p.count, p.low, p.usd_per_hour, p.high) for p in found.offers] == [
        (date(2024, 1, 1), 2, 1, 2.5, 4), (date(2024, 2, 1), 3, 1, 2, 4),
    ]  # fmt: skip
    assert found.averages == {} and found.kind == "offers" and found.main is found.offers
    for words in ("1 statement known to be wrong", "1 second-hand offers", "1 offers left out that must be taken"):
        assert any(words in note for note in found.notes)


def test_second_hand_offers_count_where_there_is_nothing_better() -> None:
    found = gpu.of_device("h100-sxm", [rent("y", date(2024, 3, 1), "2", source=source(Grade.ASSUMED))], [], "on-demand")
    assert [p.usd_per_hour for p in found.offers] == [2]
    assert found.grade is Grade.ASSUMED


def test_publishers_are_never_mixed() -> None:
    published = [average("p", date(2024, n, 1), str(n)) for n in (1, 2, 3)] + [average("q", date(2024, 3, 10), "9")]
    found = gpu.of_device("h100-sxm", THREE, published, "on-demand")
    assert {name: [p.usd_per_hour for p in points] for name, points in found.averages.items()} == {
        "p": [1, 2, 3], "q": [9],
    }  # fmt: skip
    assert [p.usd_per_hour for p in found.main] == [1, 2, 3]
    # 9 on 10 March against 2 of 1 February (38 days before): 4.5 times.
    assert any("q says 9.00 (2024-03), p 2.00 (2024-02), 4.50 times" in note for note in found.notes)
    later = gpu.of_device("h100-sxm", THREE, published, "on-demand", date(2024, 3, 5))
    assert [p.usd_per_hour for p in later.main] == [9] and later.offers == ()
    # Two dates are no series: the publisher with the latest figure comes first.
    assert gpu.of_device("h100-sxm", [], [*published[:2], published[3]], "on-demand").main[0].usd_per_hour == 9


def test_publishers_that_agree_are_not_told_apart() -> None:
    near = [average("p", date(2024, 1, 1), "2"), average("q", date(2024, 1, 20), "2.5")]
    assert gpu_averages.disagreements(near) == []
    far = [average("p", date(2024, 1, 1), "2"), average("q", date(2024, 6, 20), "9")]
    assert gpu_averages.disagreements(far) == []  # five months apart a price may have moved
    assert gpu_averages.disagreements([]) == []


def test_rents_of_the_h100_rose_from_late_2025() -> None:
    """The facts: 3.38, 4.84, 3.84, 2.73, 3.30, 3.79. "GPU prices only fall" is wrong."""
    first = gpu.rented(None)[0]
    assert (first.device, first.kind) == ("h100-sxm", "average")
    assert [(f"{p.day:%Y-%m}", p.usd_per_hour) for p in first.main] == [
        ("2023-09", 3.38), ("2024-02", 4.84), ("2024-07", 3.84), ("2025-10", 2.73), ("2026-03", 3.30),
        ("2026-09", 3.79),
    ]  # fmt: skip
    low = min(first.main, key=lambda p: p.usd_per_hour)
    assert low.day == date(2025, 10, 1)
    assert first.main[-1].usd_per_hour / low.usd_per_hour == pytest.approx(1.388, abs=1e-3)


def test_the_matched_index_knows_the_cut_at_aws() -> None:
    """98.32 / 8 to 55.04 / 8 on 1 June 2025, of five sellers: (55.04 / 98.32)^(1/5) = 0.8904."""
    (sxm,) = (one for one in gpu.rented("h100") if one.device == "h100-sxm")
    cut = next(p for p in sxm.index if p.day == date(2025, 6, 1))
    assert (cut.count, cut.moved) == (5, 1)
    assert cut.index == pytest.approx(100 * (55.04 / 98.32) ** (1 / 5))


def test_a_bare_name_means_every_form() -> None:
    assert {one.device for one in gpu.rented("h100")} >= {"h100-sxm", "h100-pcie"}
    (pcie,) = (one for one in gpu.rented("H100 PCIe"))
    assert pcie.device == "h100-pcie"
    # Lambda: 2.40 in May, 1.99 from 15 June 2023, 3.29 in 2026.
    assert [p.low for p in pcie.offers[:2]] == [2.4, 1.99]


def test_contracts_are_a_series_of_their_own() -> None:
    first = gpu.rented("h100-sxm", "reserved-1y")[0]
    assert [p.usd_per_hour for p in first.main] == [1.70, 2.35, 2.65]


def test_what_cannot_be_said_is_refused_with_what_would_work() -> None:
    with pytest.raises(FarthingError, match="unknown device 'h900'"):
        gpu.rented("h900")
    with pytest.raises(FarthingError, match=r"unknown term 'weekly' \(one of on-demand"):
        gpu.rented("h100", "weekly")
    with pytest.raises(FarthingError, match="no reserved-3y rent of l4 is stated; stated are: on-demand"):
        gpu.rented("l4", "reserved-3y")
    with pytest.raises(FarthingError, match="since 2030-01-01; an earlier --since has some"):
        gpu.rented("l4", "on-demand", date(2030, 1, 1))
    with pytest.raises(FarthingError, match="no market average of spot rents is known; name a --device"):
        gpu.rented(None, "spot")


def test_every_average_is_dated_sourced_and_plausible() -> None:
    for name in ("h100-sxm", "h200-sxm", "b200-sxm"):
        known = gpu_averages.averages(name, "on-demand")
        assert len(known) >= 3
        assert [one.day for one in known] == sorted(one.day for one in known)
        for one in known:
            assert D("0.5") < one.low <= one.high < 20
            assert date(2023, 1, 1) <= one.day <= date(2026, 11, 22)
            assert one.source.where and one.source.seen is not None


HEAD = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "derived" }\n'
GOOD = '[[average]]\npublisher = "p"\nbasis = "list"\ndevice = "h100-sxm"\nterm = "on-demand"\nusd_per_hour = 2.5\nday = 2026-01-01\nsource = "s"\n'  # noqa: E501


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ('basis = "list"', 'basis = "guess"', "guess"),
        ('device = "h100-sxm"', 'device = "h900"', "unknown device 'h900'"),
        ("usd_per_hour = 2.5", "usd_per_hour = 0", "usd_per_hour"),
        ("usd_per_hour = 2.5", "low = 3\nhigh = 2", "neither one number nor a range"),
        ("day = 2026-01-01", "", "'day' is missing"),
        ('source = "s"', 'source = "t"', r"no \[source.t\]"),
        ('source = "s"', 'source = "s"\nprice = 3', "price"),
    ],
)
def test_a_bad_average_is_refused_by_line(wrong: str, right: str, words: str) -> None:
    assert len(gpu_averages.read(HEAD + GOOD, "f.toml")) == 1
    with pytest.raises(FarthingError, match=words) as caught:
        gpu_averages.read(HEAD + GOOD.replace(wrong, right), "f.toml")
    assert len(str(caught.value).splitlines()) == 1


# --- tokens against rents ------------------------------------------------------------------------

DAYS = [date(2024, 1, 1), date(2025, 1, 1), date(2026, 1, 1)]


def test_what_fell_beyond_the_rent() -> None:
    rents = list(zip(DAYS, [4.0, 3.0, 2.0], strict=True))
    points = against(rents, {DAYS[0]: 60.0, DAYS[1]: None, DAYS[2]: 6.0})
    assert [(p.day, p.tokens, p.gpu, p.ratio) for p in points] == [
        (DAYS[0], 100, 100, 1), (DAYS[2], pytest.approx(10), 50, pytest.approx(0.2)),
    ]  # fmt: skip
    found = attribution(points)
    assert found is not None
    # Tokens fell 10 times, rents 2 times: 5 times are not rent, ln 5 / ln 10 = 0.69897 of the fall.
    assert (found.tokens_fell, found.rents_fell, found.beyond_rents) == (pytest.approx(10), 2, pytest.approx(5))
    assert found.share_beyond == pytest.approx(0.69897, abs=1e-5)


def test_where_rents_rose_more_than_all_of_the_fall_is_not_rent() -> None:
    found = attribution(against([(DAYS[0], 2.0), (DAYS[2], 4.0)], {DAYS[0]: 10.0, DAYS[2]: 1.0}))
    assert found is not None and found.beyond_rents == pytest.approx(20)
    assert found.share_beyond is not None and found.share_beyond > 1


def test_where_tokens_did_not_fall_nothing_is_attributed() -> None:
    found = attribution(against([(DAYS[0], 2.0), (DAYS[2], 1.0)], {DAYS[0]: 1.0, DAYS[2]: 1.5}))
    assert found is not None and found.share_beyond is None
    assert against([(DAYS[0], 2.0)], {DAYS[0]: 1.0}) == ()
    assert against([(DAYS[0], 2.0), (DAYS[1], 2.0)], {DAYS[0]: 1.0, DAYS[1]: 0.0}) == ()  # no price of zero
    assert attribution([]) is None


def lines(*prices: str) -> list[Line]:
    """Three models, each of which charges `prices` from the days of `DAYS` on."""
    steps = [datetime(d.year, d.month, d.day, tzinfo=UTC) for d in DAYS]
    quotes = tuple(
        Quote(start=start, end=end, usd_per_mtok={"input": F(usd), "output": F(usd)}, source=source())
        for start, end, usd in zip(steps, [*steps[1:], None], prices, strict=True)
    )
    return [Line(provider="p", model=f"m{n}", family=f"m{n}", quotes=quotes) for n in range(3)]


def test_matched_tokens_on_the_days_of_the_rents() -> None:
    published = [average("p", day, usd) for day, usd in zip(DAYS, ["4", "3", "2"], strict=True)]
    found = gpu.of_device("h100-sxm", [], published, "on-demand")
    tokens = against_rents(found, lines("8", "4", "2"), blended(Mix.parse("3:1")), None)
    matched = next(one for one in tokens if one.name == "matched models")
    assert [(p.tokens, p.gpu) for p in matched.points] == [(100, 100), (pytest.approx(50), 75), (pytest.approx(25), 50)]
    held = next(one for one in tokens if one.name == "constant capability")
    assert held.points == () and "no scored model" in held.notes[0]
    view = gpu_view([found], tokens, "on-demand", "3:1")
    assert view["tokens_method"] == "matched-model Jevons, 3 models"
    assert view["token_series"][0]["fell"]["beyond_rents"] == pytest.approx(2)  # 4 times against 2
    assert [row["series"] for row in gpu_rows(view)].count("matched models") == 3


def test_matched_tokens_are_chained_between_the_days_of_the_rents() -> None:
    """Two models sold in 2024 and two from December 2024 on have no day of the rents in common; the months between have
    them all. Each halves once: x 1/2 in March 2024 (of the first two), x 1/2 in March 2025 (of the others)."""

    def sold(model: str, *steps: tuple[datetime, datetime | None, int]) -> Line:
        quotes = tuple(
            Quote(start=one, end=end, usd_per_mtok={"input": F(usd), "output": F(usd)}, source=source())
            for one, end, usd in steps
        )
        return Line(provider="p", model=model, family=model, quotes=quotes)

    def at(year: int, month: int) -> datetime:
        return datetime(year, month, 1, tzinfo=UTC)

    old = [sold(m, (at(2023, 12), at(2024, 3), 8), (at(2024, 3), at(2025, 2), 4)) for m in ("a", "b")]
    new = [sold(m, (at(2024, 12), at(2025, 3), 2), (at(2025, 3), None, 1)) for m in ("c", "d")]
    days = (date(2024, 1, 1), date(2025, 6, 1))
    published = [average("p", day, usd) for day, usd in zip(days, ["4", "4"], strict=True)]
    found = gpu.of_device("h100-sxm", [], published, "on-demand")
    tokens = against_rents(found, [*old, *new], blended(Mix.parse("3:1")), None)
    matched = next(one for one in tokens if one.name == "matched models")
    assert [(p.day, p.tokens) for p in matched.points] == [(days[0], 100), (days[1], pytest.approx(25))]


def test_offers_are_no_index_to_compare_with() -> None:
    found = gpu.of_device("h100-sxm", THREE, [], "on-demand")
    (only,) = against_rents(found, lines("8", "4", "2"), blended(Mix.parse("3:1")), None)
    assert only.points == () and "fewer than two dates" in only.notes[0]
    view = gpu_view([found], [only], "on-demand", "3:1", "h100-sxm")
    assert (view["tokens"], view["tokens_method"], view["grade"]) == ([], None, "vendor-stated")


def test_an_empty_series_is_drawn_nowhere() -> None:
    series = TokenSeries(name="n", method="m", device="d", points=(Against(day=DAYS[0], tokens=1, gpu=1, ratio=1),))
    assert attribution(series.points) is None
