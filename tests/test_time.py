"""Time: instants with a zone, or a refusal that says what to write."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.time import EPOCH, aware, from_unix, microseconds, parse_instant, show_instant

zones = st.builds(timezone, st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda offset: timedelta(minutes=offset // timedelta(minutes=1))
))  # fmt: skip
instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones)


@given(instants)
def test_an_instant_comes_back_from_its_text(moment: datetime) -> None:
    for text in (moment.isoformat(), show_instant(moment)):
        found = parse_instant(text)
        assert found == moment
        assert found.tzinfo is UTC


@given(instants)
def test_microseconds_are_exact(moment: datetime) -> None:
    assert EPOCH + timedelta(microseconds=microseconds(moment)) == moment


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        (" 2026-11-21T09:30:00Z ", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
        ("2026-11-21T09:30:00+02:00", datetime(2026, 11, 21, 7, 30, tzinfo=UTC)),
        ("2026-01-01T00:30:00+14:00", datetime(2025, 12, 31, 10, 30, tzinfo=UTC)),
        ("2023-11-16T18:17:03.9799600Z", datetime(2023, 11, 16, 18, 17, 3, 979960, tzinfo=UTC)),  # 100 ns ticks
        ("2023-11-16 18:17:03.123456789+00:00", datetime(2023, 11, 16, 18, 17, 3, 123456, tzinfo=UTC)),
    ],
)
def test_what_is_read(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize("text", ["2026-11-21T09:30:00", "2026-11-21 09:30", "2026-11-21T09:30:00.5"])
def test_a_time_without_a_zone_is_refused_with_the_repair(text: str) -> None:
    with pytest.raises(ValueError, match=r"has no time zone; write .*Z if it is UTC") as refused:
        parse_instant(text)
    repair = str(refused.value).split("write ")[1].split(" ")[0]
    assert parse_instant(repair) == datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "21/11/2026", "2026-13-01", "2026-02-30", "1700000000", "2026-11-21T25:00Z"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_instant(text)


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="'2026-11-21T00:00:00' has no time zone"):
        aware(datetime(2026, 11, 21))
    elsewhere = datetime(2026, 11, 21, 1, tzinfo=timezone(timedelta(hours=1)))
    assert aware(elsewhere) == datetime(2026, 11, 21, tzinfo=UTC)
    assert aware(elsewhere).tzinfo is UTC


def test_seconds_since_1970() -> None:
    assert from_unix(0) == EPOCH
    assert from_unix(1_700_000_000.25) == datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)
    assert from_unix(-1) == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    for absurd in (1e20, float("nan"), -1e12):
        with pytest.raises(ValueError, match="is not a time in seconds since 1970"):
            from_unix(absurd)


def test_midnight_is_shown_as_a_day() -> None:
    assert show_instant(datetime(2026, 11, 21, tzinfo=UTC)) == "2026-11-21"
    assert show_instant(datetime(2026, 11, 21, 9, 30, tzinfo=UTC)) == "2026-11-21T09:30:00Z"
    assert show_instant(datetime(2026, 11, 21, 1, tzinfo=timezone(timedelta(hours=1)))) == "2026-11-21"
