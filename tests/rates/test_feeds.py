"""What the importers share: exact numbers, conditions spelt out, and recognising a file's format."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError, Problem
from farthing.rates.card import ALWAYS, MINUTES_OF_WEEK, Band, Rate, When, Window
from farthing.rates.feeds import READERS, detect, read_feed
from farthing.rates.feeds.base import Imported, Numbers, Stated, above, daily, note_zeros, rates_of, repair, spell_out
from farthing.rates.select import ambiguous, inside, same

D = Decimal


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "meant"),
    [
        ("0.18000000000000002", "0.18"), ("0.13999999999999999", "0.14"), ("1.0399999999999998", "1.04"),
        ("1.0000000000000001E-7", "0.0000001"), ("0.0000029999900000000002", "0.00000299999"),
        ("9.999999999999999e-08", "0.0000001"), ("2999.9999999999995", "3000"),
    ],
)  # fmt: skip
def test_debris_of_a_binary_float_is_repaired(published: str, meant: str) -> None:
    mended = repair(D(published))
    assert mended is not None and str(mended.normalize()) == str(D(meant).normalize())


@pytest.mark.parametrize("published", ["1e400", "1e-400", "1e999999999", "-1"])
def test_an_absurd_or_negative_price_is_refused_in_words(published: str) -> None:
    with pytest.raises(ValueError, match=r"is (absurd|negative)"):
        Numbers("place").price("input", D(published), 10**6)


@pytest.mark.parametrize(
    "published", ["0.08333333333333334", "0.0833333333333333", "0.003625", "100000000", "0", "1.5"]
)
def test_other_numbers_stay_as_published(published: str) -> None:
    assert repair(D(published)) is None


@settings(deadline=None)  # a busy machine
@given(st.integers(1, 10**9), st.integers(-12, 3))
def test_what_a_float_did_to_a_short_decimal_is_undone(digits: int, exponent: int) -> None:
    """Adding 0.1 and taking it away again, or scaling, leaves debris: it is undone or was never visible."""
    meant = D(digits).scaleb(exponent)
    spoilt = D(repr(float(meant) * 1e-6))
    mended = repair(spoilt)
    assert (mended if mended is not None else spoilt) == meant.scaleb(-6)


def test_a_price_is_scaled_exactly() -> None:
    numbers = Numbers("f: m")
    assert numbers.price("k", D("3.625E-9"), 10**6) == (D("0.003625"), "")
    assert str(numbers.price("k", "0.000100", 10**6)[0]) == "100"
    long = "0.1234567890123456789012345678901234567"
    assert numbers.price("k", long, 10**6)[0] == D("123456.7890123456789012345678901234567")
    assert numbers.repaired == []
    numbers.price("k", D("0.18000000000000002"))
    assert numbers.repaired == [Problem("f: m", "k is 0.18000000000000002", "read as 0.18")]


# --- conditions ---------------------------------------------------------------------------------


def test_daily_minutes() -> None:
    assert daily(0, 0).bit_count() == MINUTES_OF_WEEK
    assert daily(60, 120).bit_count() == 7 * 60
    night = daily(22 * 60, 2 * 60, [0])
    assert night.bit_count() == 240 and night >> 0 & 1 and night >> 1439 & 1 and not night >> 1440 & 1


def test_the_higher_rank_holds_where_two_conditions_overlap() -> None:
    stated = [
        Stated(amount=D(1)), Stated(amount=D(2), when=above(10), rank=1),
        Stated(amount=D(3), when=When(tier="batch"), rank=2),
    ]  # fmt: skip
    made = {s.when: s.amount for s in spell_out(stated)}
    assert made == {
        ALWAYS: D(1), above(10): D(2), When(tier="batch"): D(3),
        When(tier="batch", bands=(Band(low=11),)): D(3),
    }  # fmt: skip


def test_a_price_inside_a_higher_ranked_one_never_applies() -> None:
    inner = Stated(amount=D(1), when=When(tier="batch", attrs=frozenset({("route", "eu")})), rank=0)
    outer = Stated(amount=D(2), when=When(tier="batch"), rank=1)
    assert spell_out([inner, outer]) == [outer]
    assert set(spell_out([inner, Stated(amount=D(2), when=When(tier="batch"), rank=0)])) > {inner}


conditions = st.builds(
    When,
    tier=st.sampled_from([None, "batch", "fast"]),
    bands=st.sampled_from([(), (Band(low=11),), (Band(low=21),)]),
    window=st.sampled_from([None, Window(minutes=daily(0, 60)), Window(minutes=daily(30, 90))]),
    attrs=st.sampled_from([frozenset(), frozenset({("route", "eu")})]),
)


@settings(deadline=None)  # a busy machine
@given(st.lists(st.tuples(conditions, st.integers(1, 9), st.integers(0, 3)), max_size=6))
def test_no_request_is_left_in_doubt_and_no_price_is_made_up(items: list[tuple[When, int, int]]) -> None:
    stated = [Stated(amount=D(amount), when=when, rank=rank) for when, amount, rank in items]
    made = spell_out(stated)
    rates = rates_of("input", stated)
    assert ambiguous(rates) is None
    for one in made:
        sources = [s for s in stated if inside(one.when, s.when)]
        assert one.amount in {s.amount for s in sources}
    for s in stated:  # the highest rank of all keeps its price everywhere inside its condition
        if all(s.rank > other.rank for other in stated if other is not s):
            assert all(one.amount == s.amount for one in made if inside(one.when, s.when))
            assert any(same(one.when, s.when) for one in made)


def test_rates_carry_the_scale_of_their_meter() -> None:
    (rate,) = rates_of("audio_second", [Stated(amount=D("0.36"), note="x")], minimum=D(10))
    assert rate == Rate(meter="audio_second", amount=D("0.36"), per=3600, note="x", minimum=D(10))


def test_only_a_list_of_zeros_is_noted() -> None:
    zero, one = (Rate(meter="input", amount=D(n), per=1) for n in (0, 1))
    assert note_zeros([zero, one], "why") == ((zero, one), False)
    assert note_zeros([], "why") == ((), False)
    (noted,), found = note_zeros([zero], "why")
    assert found and noted.note == "why"


# --- files --------------------------------------------------------------------------------------

SAMPLES: dict[str, dict[str, object]] = {
    "litellm": {"m": {"litellm_provider": "openai", "input_cost_per_token": 1e-06}},
    "openrouter": {"data": [{"id": "a/m", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}]},
    "models.dev": {"openai": {"id": "openai", "models": {"m": {"cost": {"input": 1, "output": 2}}}}},
}


@pytest.mark.parametrize("feed", SAMPLES)
def test_a_format_is_recognised_and_read(feed: str, tmp_path: Path) -> None:
    content = json.dumps(SAMPLES[feed]).encode()
    path = tmp_path / "list.json"
    path.write_bytes(b"\xef\xbb\xbf" + content)  # a byte-order mark is no part of it
    assert detect(path) == detect(content) == feed
    for found in (read_feed(path), read_feed(path, feed)):
        assert isinstance(found, Imported) and found.feed == feed
        assert (found.read, found.expressed, found.not_expressed) == (1, 1, [])
        assert found.offers[0].prices[0].rates[0].amount == D(1)
    assert set(READERS) == set(SAMPLES)


def test_the_endpoints_of_a_model_are_recognised() -> None:
    assert detect(b'{"data": {"id": "a/m", "endpoints": []}}') == "openrouter"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1, 2]", "this is a list"), (b"3", "this is a int"), (b"null", "this is null"),
        (b'{"m": {"litellm_provider": "x"', "cut off"), (b"", "cut off"), (b"prices\n\xff", "UTF-8"),
        (b'{"a": 1}', "none of the price lists"), (b'{"a": NaN}', "NaN is not JSON"),
        (b"{'a': 1}", ":1: not valid JSON"),
    ],
)  # fmt: skip
def test_what_is_no_price_list_is_one_readable_line(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(content)
    with pytest.raises(FarthingError) as caught:
        read_feed(path)
    assert says in str(caught.value) and "list.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_a_format_that_is_not_known_and_a_wrong_format(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="No such file"):
        read_feed(tmp_path / "gone.json")
    path = tmp_path / "list.json"
    path.write_text(json.dumps(SAMPLES["litellm"]))
    with pytest.raises(FarthingError, match="unknown format 'portkey'; known are litellm"):
        read_feed(path, "portkey")
    with pytest.raises(FarthingError, match="neither a list of models"):
        read_feed(path, "openrouter")
    path.write_text("{}")
    with pytest.raises(FarthingError, match="holds no entry"):
        read_feed(path, "litellm")
