"""Words of charts, limits of axes, and labels that do not lie over each other."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.reports.index_chart_labels import Box, Place, apart, beside, text_width
from farthing.reports.index_chart_parts import log_axis, log_marks, ms, time_axis
from farthing.reports.index_chart_words import change, lines_of, times, usd


@pytest.mark.parametrize(
    ("value", "text"),
    [(60.0, "$60"), ("0.60", "$0.60"), (0.075, "$0.075"), (1240.4, "$1,240"), (0.0004, "$0.0004"), (12.5, "$12.50"),
     (0.6666, "$0.667"), (1.0, "$1"), (0, "$0"), (None, "unknown"), (99.999, "$100.00")],
)  # fmt: skip
def test_dollars_have_three_digits(value: float | str | None, text: str) -> None:
    assert usd(value) == text


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (31.6, "fell 31.6-fold a year"),
        (1.25, "fell 20% a year"),  # 1 - 1/1.25 = 0.2
        (1.02, "fell 2.0% a year"),  # 1 - 1/1.02 = 0.0196
        (0.8, "rose 25% a year"),  # 1/0.8 - 1 = 0.25
        (1.0, "did not change"),
        (None, "no yearly rate (too thin)"),
    ],
)
def test_a_yearly_factor_in_words(factor: float | None, text: str) -> None:
    assert change(factor) == text


def test_an_endless_factor_is_no_row_of_digits() -> None:
    assert times(1e300) == "over a million×"


@given(st.lists(st.floats(0, 300), max_size=40), st.floats(100, 600))
@settings(deadline=None)
def test_margin_labels_keep_their_distance_and_their_order(wanted: list[float], length: float) -> None:
    placed = apart(wanted, length, 13)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    ranked = [placed[i] for i in order]
    assert all(b - a >= 13 - 1e-6 for a, b in pairwise(ranked))
    if placed:
        assert min(placed) >= -1e-6
        assert max(placed) <= max(length, 13 * (len(placed) - 1)) + 1e-6


def test_labels_that_do_not_touch_stay_where_they_want_to_be() -> None:
    assert apart([10, 50, 30], 100, 13) == [10, 50, 30]


def test_a_pair_that_touches_moves_by_half_each() -> None:
    # 50 and 53 want 13 between them: their middle is 51.5, so 45 and 58.
    assert apart([50, 53], 100, 13) == pytest.approx([45, 58])


def _box(place: Place, text: str) -> Box:
    wide = text_width(text)
    left = place.x - {"left": 0.0, "right": wide, "center": wide / 2}[place.align]
    return (left, place.y - 6, left + wide, place.y + 6)


@given(st.lists(st.tuples(st.floats(0, 700), st.floats(0, 340), st.text("abcdefg-", min_size=3, max_size=24)),
                max_size=30))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_labels_beside_points_never_overlap_and_never_leave_the_plot(points: list[tuple[float, float, str]]) -> None:
    places = beside(points, 720, 340)
    boxes = [_box(p, text) for p, (_, _, text) in zip(places, points, strict=True) if p is not None]
    for a, b in combinations(boxes, 2):
        assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])
    assert all(b[0] >= -1 and b[2] <= 721 and b[1] >= -1 and b[3] <= 341 for b in boxes)


def test_a_label_without_room_is_left_out() -> None:
    assert beside([(5, 5, "much too long for this plot")], 20, 20) == [None]


@given(st.floats(1e-6, 1e4), st.floats(1.3, 1e8))
@settings(deadline=None)
def test_a_logarithmic_axis_has_marks_within_its_limits(low: float, ratio: float) -> None:
    marks = log_marks(low, low * ratio)
    assert len(marks) >= 1
    assert all(a < b for a, b in pairwise(marks))
    assert all(low * 0.999 <= mark <= low * ratio * 1.001 for mark in marks)


@pytest.mark.parametrize("up", [True, False])
def test_pixels_follow_the_scale(up: bool) -> None:
    axis = log_axis([1, 100], 200, None, up=up, room=0)
    assert axis.pixel(10) == pytest.approx(100)  # half of two decades
    assert axis.pixel(1) == pytest.approx(200 if up else 0)


def test_equal_values_still_make_an_axis() -> None:
    axis = log_axis([3, 3], 100, None)
    assert axis.low < 3 < axis.high
    one = time_axis([ms("2024-07-18") or 0])
    assert one.low < one.high


def test_lines_of_a_title_are_few_and_even() -> None:
    assert lines_of("one two three four", 40) == ["one two three four"]
    lines = lines_of("a price that fell ten times in a year and then stood", 40)
    assert len(lines) == 2
    assert abs(len(lines[0]) - len(lines[1])) < 10
