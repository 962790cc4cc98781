"""Each kind of check: golden arithmetic, what was computed holds, three times it does not, and its limits."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade
from farthing.plans.claims import Judgement, Verdict, bounds, judge_text
from farthing.plans.claims.read import CHECKS
from farthing.rates.book import Book
from farthing.rates.toml import load_card
from farthing.serving import devices, models
from farthing.serving.shape import Attention, FeedForward, ModelShape

DOCS = Path(__file__).parents[2] / "docs/claims.md"
HEAD = """
document = "d"
[source.d]
title = "A document"
where = "here"
seen = 2026-11-01
grade = "assumed"
[fact.rent]
value = [2, 4]
unit = "$/h"
source = "d"
"""
CARD = """
[source.c]
title = "Contract"
where = "drawer"
seen = 2026-11-01
grade = "vendor-stated"
[[offer]]
provider = "acme"
model = "widget"
[[offer.price]]
valid_from = 2025-01-01
source = "c"
[offer.price.rates]
input = 4
output = 30
[[offer.price]]
valid_from = 2026-01-01
source = "c"
[offer.price.rates]
input = 2
cache_read = 0.20
output = 10
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 0.5
[[offer.price.rule]]
when = { context = { over = 200_000 } }
rates = { input = 4 }
"""


def one(check: str, body: str, book: Book | None = None) -> Judgement:
    """The judgement of one statement, whose further keys are `body`."""
    text = f'{HEAD}\n[[claim]]\nlines = [1]\nsays = "s"\ncheck = "{check}"\n{body}\n'
    (judged,) = judge_text(text, "t.toml", book)
    return judged


H100 = 'device = "h100-sxm"'
LLAMA = 'model = "Llama-3.3-70B"'

# Each: check, keys, computed (low, high) with its arithmetic. The figure is stated as what is computed.
COMPUTED = [
    ("sum", "parts = { a = 2000, b = 500, c = 850 }", (3350, 3350)),
    ("product", "times = { a = 3000, b = 3600 }", (10_800_000, 10_800_000)),
    ("product", "times = { a = 14400 }\nby = { b = [40, 60] }", (240, 360)),  # 14,400/60 and /40
    ("ratio", "of = 75\nto = 0.8", (93.75, 93.75)),
    ("ratio", 'of = 1\nto = 4\nunit = "%"', (25, 25)),
    ("saving", "start = 15\nend = [3, 5]", (66.6667, 80)),  # 1 − 5/15, 1 − 3/15
    ("growth", "start = 4.2\nend = 18.5\nyears = 3", (63.9247, 63.9247)),  # 4.4048^(1/3) = 1.6392
    ("pace", "start = 60\nend = 0.6\nmonths = 16", (31.6228, 31.6228)),  # 100^(12/16)
    ("pace", "start = 100\nend = 25\nmonths = 12\nfold = 2", (6, 6)),  # two half-lives in a year
    ("trend", "start = 0.6\nper_year = 10\nmonths = 18", (0.0189737, 0.0189737)),  # 0.6 / 10^1.5
    ("months", "start = 2024-01-01\nend = 2025-01-01", (12.0247, 12.0247)),  # 366 / 30.436875
    ("published", 'value = "rent"', (2, 4)),
    ("count", 'things = ["a", "b", "c"]', (3, 3)),
    ("routing", "share = 80\ndear = 8\ncheap = 0.4", (76, 76)),  # 0.8 × 0.95
    ("idle", "share = 10", (10, 10)),
    ("cost-per-mtok", "usd_per_hour = 2.49\ntokens_s = 3000", (0.230556, 0.230556)),  # 2.49 / 10.8
    (
        "bill",
        "input_mtok = 2\ninput_usd_per_mtok = 3\noutput_mtok = 1\noutput_usd_per_mtok = 15\ntimes = 30",
        (630, 630),
    ),
    ("blend", "input_usd = 3\noutput_usd = 15\ninput_share = 75", (6, 6)),  # (3 × 3 + 15) / 4
    ("amortisation", "usd = 26280\nyears = 3", (1, 1)),  # 3 × 8,760 h
    ("energy", "watts = 700\nusd_per_kwh = 0.12\noverhead = 1.5", (0.126, 0.126)),
    ("depreciation", "usd = 30000\npercent_per_year = 50\nyears = 2", (7500, 7500)),
    ("break-even", "usd = 1793\napi_usd_per_mtok = 0.3", (5976.67, 5976.67)),
    ("break-even", "usd = 100\napi_usd_per_mtok = 0.5\nown_usd_per_mtok = 0.25", (400, 400)),
    ("device", f'{H100}\nwhat = "tdp-w"', (700, 700)),
    ("parameters", f'{LLAMA}\nwhich = "total"', (70.5537, 70.5537)),
    ("offload", f'{LLAMA}\ndevice = "rtx-5090"\nbits = 8', (51.5386, 51.5386)),  # 1 − 34.19 / 70.55
    ("speculation", "acceptance = 0.8\ndraft = 4", (3.3616, 3.3616)),  # (1 − 0.32768) / 0.2
    ("speculation", "acceptance = 0.5\ndraft = 1\ndraft_cost = 0.5", (1, 1)),  # 1.5 / 1.5
    ("context-cost", f"{LLAMA}\nshort = 10_000\nlong = 100_000", (17.6482, 17.6482)),
]


def stated(low: float, high: float, times: float = 1) -> str:
    ends = [format(Decimal(repr(end * times)).quantize(Decimal("0.000001")), "f") for end in (low, high)]
    return f"stated = {ends[0]}" if low == high else f"stated = [{ends[0]}, {ends[1]}]"


@pytest.mark.parametrize(("check", "body", "computed"), COMPUTED)
def test_what_is_computed_holds_and_three_times_it_does_not(
    check: str, body: str, computed: tuple[float, float]
) -> None:
    judged = one(check, f"{body}\n{stated(*computed)}")
    span = judged.finding.computed
    assert span is not None
    assert (float(span.low), float(span.high)) == pytest.approx(computed, rel=1e-4)
    assert judged.verdict is Verdict.HOLDS, judged.finding
    assert one(check, f"{body}\n{stated(*computed, 3)}").verdict in (Verdict.OFF, Verdict.IMPOSSIBLE)
    assert one(check, f"{body}\n{stated(*computed, 1 / 3)}").verdict is Verdict.OFF


def test_every_check_is_tested_and_documented() -> None:
    here = Path(__file__).read_text("utf-8")
    text = DOCS.read_text("utf-8")
    for name, check in CHECKS.items():
        assert f'"{name}"' in here, name
        assert f'check = "{name}"' in text, name
        assert check.__doc__, name


def test_the_example_in_the_documentation_is_read_and_has_every_check() -> None:
    text = DOCS.read_text("utf-8").split("```toml")[1].split("```")[0]
    judged = judge_text(text, "docs/claims.md")
    assert {j.check for j in judged} == set(CHECKS)
    assert {j.verdict for j in judged} == set(Verdict)


positive = st.integers(1, 10**6)


@settings(deadline=None, max_examples=40)
@given(positive, positive, st.integers(1, 20))
def test_a_growth_rate_from_its_own_end_points_holds(start: int, end: int, years: int) -> None:
    rate = ((end / start) ** (1 / years) - 1) * 100
    if rate < 0.01:
        return
    body = f"start = {start}\nend = {end}\nyears = {years}\n"
    assert one("growth", body + f"stated = {rate:.6f}").verdict is Verdict.HOLDS
    assert one("growth", body + f"stated = {rate * 3:.6f}").verdict is Verdict.OFF


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.sampled_from("abcdef"), positive, min_size=1))
def test_a_sum_of_its_own_parts_holds_and_thrice_not(parts: dict[str, int]) -> None:
    body = "parts = { " + ", ".join(f"{name} = {value}" for name, value in parts.items()) + " }\n"
    total = sum(parts.values())
    assert one("sum", body + f"stated = {total}").verdict is Verdict.HOLDS
    assert one("sum", body + f"stated = {total * 3}").verdict is Verdict.OFF


@settings(deadline=None, max_examples=40)
@given(positive, positive)
def test_units_cancel(usd: int, tokens_s: int) -> None:
    """Dollars an hour over tokens a second, back to dollars an hour."""
    per_mtok = usd / (tokens_s * 3600 / 1e6)
    if not 1e-6 < per_mtok < 1e9:
        return
    body = f"usd_per_hour = {usd}\ntokens_s = {tokens_s}\nstated = {per_mtok:.9f}"
    assert one("cost-per-mtok", body).verdict is Verdict.HOLDS


# --- ranks, alternatives, what cannot be told ----------------------------------------------------


def test_rank() -> None:
    items = "items = { a = 3, b = { of = 10, to = 5 }, c = 1 }\n"
    assert one("rank", items + 'first = "a"\norder = "largest"').verdict is Verdict.HOLDS
    assert one("rank", items + 'first = "c"\norder = "smallest"').verdict is Verdict.HOLDS
    judged = one("rank", items + 'first = "b"\norder = "largest"')
    assert judged.verdict is Verdict.OFF and judged.finding.factor == Decimal("1.5")  # 3 / 2
    tie = one("rank", 'items = { a = 3, b = 3 }\nfirst = "b"\norder = "largest"')
    assert tie.verdict is Verdict.HOLDS


def test_cheaper_counts_whole_machines() -> None:
    body = "mtok = 10_000\napi_usd_per_mtok = 0.3\nmachine_usd = 1793\n"
    assert one("cheaper", body + 'winner = "own"').verdict is Verdict.HOLDS  # 3,000 against 1,793
    judged = one("cheaper", body + 'machine_mtok = 7776\nwinner = "own"')  # two machines: 3,586
    assert judged.verdict is Verdict.OFF
    assert float(judged.finding.factor or 0) == pytest.approx(3586 / 3000)
    assert one("cheaper", body + 'machine_mtok = 7776\nwinner = "api"').verdict is Verdict.HOLDS


def test_break_even_against_capacity() -> None:
    body = "usd = 1793\napi_usd_per_mtok = 0.1\nstated = 17_930\n"
    assert one("break-even", body).verdict is Verdict.HOLDS
    assert one("break-even", body + "capacity_mtok = 7776").verdict is Verdict.IMPOSSIBLE
    never = one("break-even", "usd = 100\napi_usd_per_mtok = 0.2\nown_usd_per_mtok = 0.3\nstated = 5")
    assert never.verdict is Verdict.IMPOSSIBLE and "never" in never.finding.computation


def test_nobody_saves_more_than_everything() -> None:
    assert one("saving", "start = 10\nend = 1\nstated = 120").verdict is Verdict.IMPOSSIBLE


def test_nothing_keeps_the_reason_and_has_no_grade() -> None:
    judged = one("nothing", 'why = "a survey without a source"\nstated = 60')
    assert judged.verdict is Verdict.CANNOT_TELL
    assert judged.finding.computation == "a survey without a source"
    assert judged.grade is None


def test_arithmetic_alone_is_derived_and_a_fact_lends_its_grade() -> None:
    assert one("ratio", "of = 4\nto = 2\nstated = 2").grade is Grade.DERIVED
    judged = one("published", 'value = "rent"\nstated = 3')
    assert judged.grade is Grade.ASSUMED and judged.grounds[0].title == "A document"


# --- prices ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book() -> Book:
    return Book([load_card(CARD, "card.toml")])


def priced(book: Book, figure: str, rest: str = "at = 2026-06-01", meter: str = "output") -> Judgement:
    return one("price", f'offer = "acme/widget"\nmeter = "{meter}"\nstated = {figure}\n{rest}', book)


def test_a_price_that_was_true_then(book: Book) -> None:
    assert priced(book, "30", "at = 2025-06-01").verdict is Verdict.HOLDS
    judged = priced(book, "30")
    assert judged.verdict is Verdict.OFF and judged.finding.factor == 3
    assert judged.finding.note == "it was the price from 2025-01-01 until 2026-01-01"
    assert judged.grade is Grade.VENDOR_STATED
    assert priced(book, "10.1").verdict is Verdict.OFF  # a price is exact
    assert priced(book, "[5, 15]").verdict is Verdict.HOLDS


def test_prices_by_tier_and_by_prompt(book: Book) -> None:
    assert priced(book, "5", 'at = 2026-06-01\ntier = "batch"').verdict is Verdict.HOLDS
    assert priced(book, "4", "at = 2026-06-01\nprompt = 300_000", "input").verdict is Verdict.HOLDS
    assert priced(book, "2", "at = 2026-06-01\nprompt = 100_000", "input").verdict is Verdict.HOLDS


def test_an_unknown_price_cannot_be_told(book: Book) -> None:
    early = priced(book, "10", "at = 2024-06-01")
    assert early.verdict is Verdict.CANNOT_TELL and "no price before 2025-01-01" in early.finding.computation
    assert priced(book, "1", meter="web_search").verdict is Verdict.CANNOT_TELL
    body = 'offer = "acme/nothing"\nmeter = "output"\nat = 2026-06-01\nstated = 1'
    assert "no price for acme/nothing" in one("price", body, book).finding.computation
    body = "of = 2\nto = { offer = 'acme/nothing', meter = 'output', at = 2026-06-01 }\nstated = 2"
    assert one("ratio", body, book).verdict is Verdict.CANNOT_TELL


def test_a_record_without_a_date_decides_for_a_year() -> None:
    """The card's source was seen on 2026-11-01: its undated record decides from 365 days before, 2025-11-01."""
    text = CARD[: CARD.index("[[offer.price]]")] + '[[offer.price]]\nsource = "c"\n[offer.price.rates]\noutput = 10\n'
    undated = Book([load_card(text, "card.toml")])
    assert priced(undated, "10", "at = 2025-11-01").verdict is Verdict.HOLDS
    assert priced(undated, "30", "at = 2026-11-01").verdict is Verdict.OFF
    for figure in ("10", "30"):
        early = priced(undated, figure, "at = 2025-10-31")
        assert early.verdict is Verdict.CANNOT_TELL
        assert "the book's record of it has no date, and decides only from 2025-11-01" in early.finding.computation
    body = "of = 20\nto = { offer = 'acme/widget', meter = 'output', at = 2024-01-01 }\nstated = 2"
    assert one("ratio", body, undated).verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize(("figure", "day"), [("2.50", "2023-01-01"), ("5", "2024-06-01"), ("2.50", "2024-06-01")])
def test_the_catalogues_undated_record_is_no_history(figure: str, day: str) -> None:
    """gpt-4o cost $5 from May 2024; the catalogue's $2.50 has no date, and others' records lend it none."""
    body = f'offer = "openai/gpt-4o"\nmeter = "input"\nat = {day}\nstated = {figure}'
    judged = one("price", body)
    assert judged.verdict is Verdict.CANNOT_TELL and "has no date" in judged.finding.computation
    now = one("price", 'offer = "openai/gpt-4o"\nmeter = "input"\nat = 2026-06-01\nstated = 2.50')
    assert now.verdict is Verdict.HOLDS


def test_undated_markups_are_not_told_of_the_past() -> None:
    judged = one("markup", 'platform = "azure"\nat = 2024-01-01\nstated = [0, 10]')
    assert judged.verdict is Verdict.CANNOT_TELL


def test_second_hand_prices_decide_nothing() -> None:
    """RunPod's rent is in the book, but only from the document that states it."""
    judged = one("price", 'offer = "runpod/h100-sxm"\nmeter = "gpu_hour"\nat = 2026-02-01\nstated = 3.29')
    assert judged.verdict is Verdict.CANNOT_TELL and "second-hand" in judged.finding.computation


def test_prices_as_quantities(book: Book) -> None:
    offer = '{ offer = "acme/widget", meter = "%s", at = 2026-06-01 }'
    body = f"start = {offer % 'input'}\nend = {offer % 'cache_read'}\nstated = 90"
    judged = one("saving", body, book)
    assert judged.verdict is Verdict.HOLDS and judged.grade is Grade.VENDOR_STATED


def test_markup_counts_the_offers_inside() -> None:
    judged = one("markup", 'platform = "azure"\nat = 2026-01-01\nstated = [0, 10]')
    assert judged.verdict is Verdict.HOLDS
    assert one("markup", 'platform = "vertex"\nat = 2026-01-01\nstated = [30, 60]').verdict is Verdict.OFF


# --- physics ---------------------------------------------------------------------------------------


def test_weights_and_cache_fit_or_not() -> None:
    assert one("fits", f"{LLAMA}\n{H100}\nbits = 16").verdict is Verdict.IMPOSSIBLE  # 141 of 85.5 GB
    judged = one("fits", f"{LLAMA}\n{H100}")
    assert judged.verdict is Verdict.HOLDS and judged.finding.note == "only at 8 bits or fewer"
    assert one("fits", f"{LLAMA}\n{H100}\ncount = 2\nbits = 16").verdict is Verdict.HOLDS
    # 80 layers × 2 × 8 × 128 × 2 bytes = 327,680 bytes a token: 32 × 4,096 tokens are 42.9 GB beside 35.3
    cache = f"{LLAMA}\n{H100}\nbits = 4\ncontext = 4096\nsequences = 32"
    judged = one("fits", cache)
    assert judged.verdict is Verdict.HOLDS and "42.9 GB of KV" in judged.finding.computation
    assert one("fits", cache + "\nusable = 0.9").verdict is Verdict.OFF  # 78.2 of 77.0
    assert one("fits", cache.replace("= 32", "= 64")).verdict is Verdict.IMPOSSIBLE
    assert one("fits", cache.replace("= 32", "= 64") + "\nkv_bits = 8").verdict is Verdict.HOLDS


def test_throughput_under_the_ceilings() -> None:
    body = f"{LLAMA}\n{H100}\nbits = 8\n"
    # 1,979e12 / (2 × 70.55e9) = 14,025 tokens/s
    assert one("throughput", body + 'tokens = "any"\nstated = 14_000').verdict is Verdict.HOLDS
    assert one("throughput", body + 'tokens = "any"\nstated = 42_000').verdict is Verdict.IMPOSSIBLE
    # 3,350 / 70.55 GB = 47.5 tokens/s for one sequence
    alone = body + 'tokens = "output"\nbatch = 1\n'
    assert one("throughput", alone + "stated = 47").verdict is Verdict.HOLDS
    assert one("throughput", alone + "stated = 60").verdict is Verdict.IMPOSSIBLE
    assert one("throughput", alone + "stated = 47\npractical = 0.6").verdict is Verdict.OFF
    month = body + 'tokens = "any"\nseconds = 2_592_000\n'
    assert one("throughput", month + "stated = 50_000_000_000").verdict is Verdict.IMPOSSIBLE  # 19,290 a second
    assert one("throughput", month + "stated = 10_000_000_000").verdict is Verdict.HOLDS


def test_formats_that_a_device_has() -> None:
    h100, a100 = devices.find("h100-sxm"), devices.find("a100-80gb-sxm")
    assert bounds.fastest_flops(h100, 8, None) == ("fp8", 1979e12)
    assert bounds.fastest_flops(h100, 16, None)[0] == "bf16"
    assert bounds.fastest_flops(a100, 8, None)[0] == "int8"  # an A100 has no FP8
    assert bounds.fastest_flops(a100, 4, None)[0] == "int8"
    assert bounds.fastest_flops(a100, 4, "fp8")[1] == a100.flops["bf16"]
    assert bounds.fastest_flops(devices.find("b200"), 4, None)[0] == "fp4"


def test_cost_floor() -> None:
    body = f'{LLAMA}\n{H100}\nbits = 8\ntokens = "any"\nusd_per_hour = 2\n'
    # 2 / (14,025 × 3,600 / 10⁶) = 0.0396 $/M
    assert one("cost-floor", body + "stated = 0.04").verdict is Verdict.HOLDS
    assert one("cost-floor", body + "stated = 0.01").verdict is Verdict.IMPOSSIBLE
    assert one("cost-floor", body + "stated = 0.05\npractical = 0.5").verdict is Verdict.OFF


def test_cost_ratio() -> None:
    # 989.5e12 × 2 / (2 × 3.35e12) = 295
    assert one("cost-ratio", f"{H100}\nbits = 16\nstated = 290").verdict is Verdict.HOLDS
    judged = one("cost-ratio", f"{H100}\nbits = 16\nstated = 1000")
    assert judged.verdict is Verdict.OFF
    assert float(judged.finding.factor or 0) == pytest.approx(1000 / 295.4, rel=1e-3)
    assert one("cost-ratio", f"{H100}\nbits = 16\nstated = 5\nmeasured = 5").verdict is Verdict.HOLDS


def test_a_board_power_by_its_form_factor() -> None:
    both = 'device = ["a100-80gb-pcie", "a100-80gb-sxm"]\nwhat = "tdp-w"\n'
    assert "PCIe 300 only" in one("device", both + "stated = 300").finding.note
    assert "SXM4 400 only" in one("device", both + "stated = 400").finding.note
    assert one("device", both + "stated = 700").verdict is Verdict.OFF
    sxm = 'device = "a100-80gb-sxm"\nwhat = "tdp-w"\nstated = 300'
    assert one("device", sxm).verdict is Verdict.OFF
    assert one("device", f'{H100}\nwhat = "memory-gb"\nstated = 80').verdict is Verdict.HOLDS
    assert one("device", f'{H100}\nwhat = "bandwidth-gb-s"\nstated = 3350').verdict is Verdict.HOLDS


def test_active_parameters_with_and_without_the_embedding() -> None:
    body = 'model = "DeepSeek-R1"\nwhich = "active"\n'
    assert one("parameters", body + "stated = 37").verdict is Verdict.HOLDS
    assert one("parameters", body + "stated = 671").verdict is Verdict.OFF


def test_offloaded_weights_wait_for_the_host() -> None:
    body = f'{LLAMA}\ndevice = "rtx-5090"\nbits = 4.8\n'
    # 42.3 − 34.2 = 8.1 GB at 100 GB/s and 34.2 GB at 1,792 GB/s: 1 / 0.1005 s = 9.95 tokens/s
    assert one("offload-speed", body + "host_gb_s = 100\nstated = 9.8").verdict is Verdict.HOLDS
    assert one("offload-speed", body + "host_gb_s = 100\nstated = 30").verdict is Verdict.IMPOSSIBLE
    # 13.6e9 parameters outside: 10e12 / 27.1e9 = 368 tokens/s
    assert one("offload-speed", body + "host_tflops = 10\nstated = 360").verdict is Verdict.HOLDS
    assert one("offload-speed", body + "host_tflops = 10\nstated = 1100").verdict is Verdict.IMPOSSIBLE
    # (34.2 + 64 − 42.3) GB / 0.3277 GB = 170 sequences in 0.019 + 0.64 s = 259 tokens/s
    batched = body + "host_gb_s = 100\nhost_gb = 64\ncontext = 1000\n"
    assert one("offload-speed", batched + "stated = 255").verdict is Verdict.HOLDS
    assert one("offload-speed", batched + "stated = 600").verdict is Verdict.IMPOSSIBLE


def test_speculation_has_a_limit() -> None:
    body = "acceptance = 0.9\ndraft = 4\n"
    assert one("speculation", body + "stated = 6").verdict is Verdict.IMPOSSIBLE  # five tokens a pass at most
    assert bounds.speculative_tokens(1, 4) == 5
    assert bounds.speculative_tokens(0, 4) == 1


@settings(deadline=None)
@given(st.floats(0, 0.999), st.integers(1, 16))
def test_speculative_tokens_are_the_geometric_sum(a: float, draft: int) -> None:
    assert bounds.speculative_tokens(a, draft) == pytest.approx(sum(a**k for k in range(draft + 1)))


EXPERTS = ModelShape(
    id="moe", architecture="x", layers=2, hidden=8, vocabulary=16,
    attention=(Attention(layers=2, kind="full", heads=1, kv_heads=1, key_dim=4, value_dim=4, parameters=100),),
    feed_forward=(FeedForward(layers=2, width=8, parameters=10, experts=8, per_token=2, expert_parameters=50),),
)  # fmt: skip


def test_a_batch_reads_the_distinct_experts() -> None:
    alone = EXPERTS.active_parameters
    assert bounds.read_parameters(EXPERTS, 1) == pytest.approx(alone)  # 1 − 2/8 of the experts stay unread
    assert bounds.read_parameters(EXPERTS, 1e6) == pytest.approx(EXPERTS.parameters)
    # two tokens: 8 × (1 − 0.75²) = 3.5 experts of 50 in each of 2 layers, where one token has 2
    assert bounds.read_parameters(EXPERTS, 2) == pytest.approx(alone + 2 * 1.5 * 50)


@settings(deadline=None)
@given(st.floats(1, 1e4), st.floats(1, 1e4), st.floats(0, 1e6))
def test_a_larger_batch_is_never_slower(one_batch: float, more: float, kv_bytes: float) -> None:
    small, large = (bounds.bandwidth_tokens_s(1e12, 1e9, kv_bytes, batch) for batch in (one_batch, one_batch + more))
    assert small <= large * (1 + 1e-9)


def test_the_library_has_what_the_seeds_name() -> None:
    for name in ("Llama-3-70B", "Llama-3.3-70B", "Llama-3.1-405B", "DeepSeek-R1", "DeepSeek-V3"):
        assert models.find(name).parameters > 0
