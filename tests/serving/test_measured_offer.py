"""The price of measured points: how dollars are divided between prompts and answers."""

from datetime import date
from decimal import Decimal

import pytest

from farthing.serving.measured.measurement import Latency, Measurement
from farthing.serving.measured_offer import measured_offer, prompt_share


def point(ttft: float, tpot: float, rate: float, concurrency: float) -> Measurement:
    input, output = 512, 128
    return Measurement(
        format="test", source="p", input_tokens=input, output_tokens=output, concurrency=concurrency,
        ttft_ms=Latency(mean=ttft), tpot_ms=Latency(mean=tpot), requests_per_s=rate, output_tokens_per_s=rate * output,
    )  # fmt: skip


def test_the_shortest_ttft_divides_where_nothing_bounds_it() -> None:
    # 10 requests a second × 20 ms of prompt = 0.2 of the time
    assert prompt_share(point(100, 10, 10, 16), [point(20, 5, 1, 1), point(100, 10, 10, 16)]) == pytest.approx(0.2)


def test_a_ttft_of_network_and_queue_leaves_decoding_its_time() -> None:
    # 10/s × 200 ms would be twice the time; decoding takes at least 10/s × 127 × 6 ms / 16 = 0.47625 of it.
    slow = point(200, 6, 10, 16)
    assert prompt_share(slow, [slow]) == pytest.approx(1 - 0.47625)


def test_an_output_token_costs_no_less_than_a_prompt_token() -> None:
    # Steps of 0.1 ms leave 0.992 of the time; 512 of 640 tokens are the prompt's: 0.8.
    odd = point(200, 0.1, 10, 16)
    assert prompt_share(odd, [odd]) == pytest.approx(0.8)
    offer = measured_offer("it", odd, [odd], Decimal(2), 1.0, date(2026, 11, 22))
    amounts = {rate.meter: rate.amount for rate in offer.prices[0].rates}
    assert amounts["output"] >= amounts["input"]
    assert "an output token costs no less" in offer.note


def test_one_at_a_time_is_divided_by_its_own_times() -> None:
    # 50 ms and 127 × 5 ms = 685 ms a request: the prompt's are at most 50 / 685.
    one = point(50, 5, 1 / 0.685, 1)
    assert prompt_share(one, [one]) == pytest.approx(50 / 685)
