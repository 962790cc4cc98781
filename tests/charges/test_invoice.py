"""Every invoice format, its amounts to the last digit, and what is refused."""

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from farthing.charges.reconciliation.invoice import InvoiceLine, half_unit, places_of, read_invoice
from farthing.charges.reconciliation.invoice_words import Item, line_item
from farthing.problems import FarthingError, Problems

DAY = datetime(2026, 11, 1, tzinfo=UTC)
UNIX = 1793491200
ONE = timedelta(days=1)


def read(tmp_path: Path, text: str, name: str = "invoice") -> tuple[list[InvoiceLine], Problems]:
    path = tmp_path / name
    path.write_text(text)
    problems = Problems()
    return read_invoice(path, problems), problems


def openai_page(*results: dict[str, object]) -> str:
    bucket = {"object": "bucket", "start_time": UNIX, "end_time": UNIX + 86400, "results": list(results)}
    return json.dumps({"object": "page", "data": [bucket], "has_more": False, "next_page": None})


def openai_result(value: object, line_item: str | None, **more: object) -> dict[str, object]:
    amount = {"value": value, "currency": "usd"}
    return {"object": "organization.costs.result", "amount": amount, "line_item": line_item, "project_id": None, **more}


def test_openai_costs(tmp_path: Path) -> None:
    page = openai_page(
        openai_result(0.06, "gpt-4o-2024-08-06, cached input", project_id="proj_1", quantity=48000),
        openai_result("0.003835980000000000000000000000", "priority | gpt-5.6-sol, output, long context"),
        openai_result(1, None),
    )
    (cached, output, total), problems = read(tmp_path, page)
    assert not problems.total
    assert (cached.start, cached.end, cached.usd) == (DAY, DAY + ONE, Fraction("0.06"))
    assert (cached.provider, cached.model, cached.kind, cached.project, cached.quantity) == (
        "openai", "gpt-4o-2024-08-06", "cache_read", "proj_1", 48000,
    )  # fmt: skip
    assert (output.model, output.kind, output.tier) == ("gpt-5.6-sol", "output", "priority")
    assert output.usd == Fraction("0.00383598") and output.places == 30
    assert (total.model, total.kind, total.usd) == (None, None, 1)
    assert cached.place.endswith("invoice:1 bucket 1 result 1")


def test_openai_dashboard_csv(tmp_path: Path) -> None:
    # the export writes its ISO times without a zone, and a row for a day without cost
    head = (
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item"
    )
    rows = [
        f"{UNIX},{UNIX + 86400},2026-11-01T00:00:00,2026-11-02T00:00:00,,,,,",
        f'{UNIX},{UNIX + 86400},2026-11-01T00:00:00,2026-11-02T00:00:00,0.25,usd,125000,tokens,"gpt-4o, input"',
        f"{UNIX},{UNIX + 86400},2026-11-01T00:00:00,2026-11-02T00:00:00,0.5,usd,3,gb_days,vector storage",
    ]
    (line, storage), problems = read(tmp_path, "\n".join([head, *rows]))
    assert not problems.total
    assert (line.model, line.kind, line.quantity, line.usd) == ("gpt-4o", "input", 125000, Fraction("0.25"))
    assert (storage.model, storage.quantity, storage.description) == (None, None, "vector storage")


def test_anthropic_cost_report_is_in_cents(tmp_path: Path) -> None:
    result = {
        "amount": "123.78912", "currency": "USD", "cost_type": "tokens", "model": "claude-opus-5",
        "token_type": "cache_creation.ephemeral_1h_input_tokens", "service_tier": "batch", "workspace_id": "w",
        "context_window": "0-200k", "description": "Claude Opus 5 Usage", "inference_geo": None,
    }  # fmt: skip
    search = {"amount": "12", "currency": "USD", "cost_type": "web_search", "model": None, "token_type": None}
    times = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z"}
    (tokens, tool), problems = read(tmp_path, json.dumps({"data": [{**times, "results": [result, search]}]}))
    assert not problems.total
    assert tokens.usd == Fraction("1.2378912") and tokens.places == 7
    assert (tokens.kind, tokens.tier, tokens.model) == ("cache_write_1h", "batch", "claude-opus-5")
    assert (tool.usd, tool.kind, tool.model) == (Fraction("0.12"), "web_search", None)


def test_anthropic_cost_report_without_groups_is_in_cents(tmp_path: Path) -> None:
    bucket = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z",
              "results": [{"currency": "USD", "amount": "250"}]}  # fmt: skip
    (line,), _ = read(tmp_path, json.dumps({"data": [bucket]}))
    assert line.usd == Fraction("2.5")


def test_anthropic_console_csv(tmp_path: Path) -> None:
    head = (
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,"
        "inference_geo,speed"
    )
    rows = [
        "2026-11-01,Claude Haiku 4.5,Default,k,message,≤ 200k,input_cache_write_5m,0.19,0.19,token,global,",
        "2026-11-01,,Default,k,message,,,0.08,0.08,web_search,global,",
    ]
    (write, search), problems = read(tmp_path, "\n".join([head, *rows]))
    assert not problems.total
    assert (write.model, write.kind, write.tier, write.usd) == (
        "Claude Haiku 4.5", "cache_write_5m", None, Fraction("0.19"),
    )  # fmt: skip
    assert (search.model, search.kind) == (None, "web_search")


def test_plain_csv_and_jsonl(tmp_path: Path) -> None:
    table = 'Date,Model,Amount,Kind\n2026-11-01,openai/gpt-4o,"$1,234.50",output\n2026-11,gpt-4o,7,\n'
    (first, month), problems = read(tmp_path, table)
    assert not problems.total
    assert (first.provider, first.model, first.kind, first.usd) == ("openai", "gpt-4o", "output", Fraction("1234.5"))
    assert (month.start, month.end) == (DAY, datetime(2026, 12, 1, tzinfo=UTC))
    rows = '{"start":"2026-11-01T09:30:00+02:00","model":"m","cents":"12.5"}\n{"day":"2026-12-31","usd":0.1}\n'
    (early, late), _ = read(tmp_path, rows, "b.jsonl")
    assert (early.start, early.end, early.usd, early.places) == (DAY, DAY + ONE, Fraction("0.125"), 3)
    assert late.usd == Fraction("0.1") and late.end == datetime(2027, 1, 1, tzinfo=UTC)


def test_focus(tmp_path: Path) -> None:
    head = (
        "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ProviderName,SkuId,SkuMeter,"
        "ConsumedQuantity,ConsumedUnit,ChargeDescription"
    )
    rows = [
        "0.0123,USD,Usage,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,OpenAI,"
        '"openai/gpt-4o, input",Input Tokens,4920,Tokens,gpt-4o input',
        "2.10,USD,Tax,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,OpenAI,,,,,VAT",
    ]
    (usage, tax), problems = read(tmp_path, "\n".join([head, *rows]))
    assert not problems.total
    assert (usage.provider, usage.model, usage.kind, usage.quantity) == ("openai", "gpt-4o", "input", 4920)
    assert (tax.model, tax.kind, tax.description) == (None, None, "Tax: VAT")


def test_gzip(tmp_path: Path) -> None:
    path = tmp_path / "i.csv.gz"
    path.write_bytes(gzip.compress(b"date,model,cost\n2026-11-01,m,1.25\n"))
    assert [line.usd for line in read_invoice(path, Problems())] == [Fraction("1.25")]


@pytest.mark.parametrize(
    ("row", "reason", "repair"),
    [
        ("2026-11-01,m,twelve,usd", "not a decimal", "12.34"),
        ("2026-11-01,m,NaN,usd", "not a finite", "12.34"),
        ("2026-11-01,m,1e400,usd", "absurd", "correct"),
        ("2026-11-01,m,5,eur", "in EUR", "convert"),
        ("2026-11-01,m,,usd", "no amount", "amount"),
        (",m,5,usd", "no time", "zone"),
        ("2026-13,m,5,usd", "not a month", "correct"),
        ("2026-11-01T10:00:00,m,5,usd", "no time zone", "zone"),
    ],
)
def test_bad_rows_are_listed_and_good_ones_kept(tmp_path: Path, row: str, reason: str, repair: str) -> None:
    lines, problems = read(tmp_path, f"date,model,amount,currency\n2026-11-01,m,1.00,USD\n{row}\n")
    assert len(lines) == 1 and problems.total == 1
    (problem,) = problems.kept
    assert problem.place.endswith("invoice:3") and reason in problem.reason and repair in problem.repair


def test_a_span_that_ends_before_it_starts(tmp_path: Path) -> None:
    lines, problems = read(tmp_path, "start,end,usd\n2026-11-02,2026-11-01,5\n2026-11-02,2026-11-02,5\n")
    assert [line.end for line in lines] == [DAY + 2 * ONE]
    assert "before it starts" in problems.kept[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("timestamp,model,input_tokens\n2026-11-01T00:00:00Z,m,5\n", "holds usage, not money"),
        ("a,b\n1,2\n", "not an invoice that is known"),
        ("date,amount\n2026-11-01,x\n", "no line of an invoice could be read"),
    ],
)
def test_what_is_no_invoice_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FarthingError, match=message) as refusal:
        read(tmp_path, text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("stated", "item"),
    [
        ("gpt-audio-mini-2025-12-15 audio, input", Item("gpt-audio-mini-2025-12-15", "input_audio", None)),
        ("gpt-image-2.5-sunburst text, cached input", Item("gpt-image-2.5-sunburst", "cache_read", None)),
        ("flex | gpt-5-mini, cache writes", Item("gpt-5-mini", "cache_write", "flex")),
        ("assistants api | file search", Item(None, "file_search", None)),
        ("web search tool calls", Item(None, "web_search", None)),
        ("gpt-4o", Item("gpt-4o", None, None)),
        ("Image models", Item(None, None, None)),
    ],
)
def test_line_items(stated: str, item: Item) -> None:
    assert line_item(stated) == item


def test_rounding_units(tmp_path: Path) -> None:
    (a, b), _ = read(tmp_path, "date,usd\n2026-11-01,1.5\n2026-11-01,2.25\n")
    assert places_of([a, b]) == 2 and half_unit(a, 2) == Fraction("0.005")
    (c,), _ = read(tmp_path, '{"date":"2026-11-01","usd":12.345678901234567}', "c.json")
    assert c.binary and half_unit(c, 15) == c.usd / 2**52  # a float's own step is coarser than half of 1e-15


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("9999-12-31,m,5,1", "not a plausible time"), ("0001-01-01,m,5,1", "not a plausible time"),
        ("2026-11-01,m,0e999999999,1", "absurd"), ("2026-11-01,m,1e-999999999,1", "absurd"),
        ("2026-11-01,m,0." + "3" * 5000 + ",1", "absurd"), ("2026-11-01,m,5,1e99999999", "the quantity .* is absurd"),
    ],
)  # fmt: skip
def test_absurd_times_and_amounts_cost_their_line_only(tmp_path: Path, line: str, why: str) -> None:
    found, problems = read(tmp_path, f"date,model,amount,quantity\n{line}\n2026-11-01,m,7,1\n")
    assert [one.usd for one in found] == [7]
    assert [problem.place for problem in problems.kept] == [f"{tmp_path / 'invoice'}:2"]
    assert re.search(why, problems.kept[0].reason)


@pytest.mark.parametrize("month", ["9999-12", "0000-12", "2026-13"])
def test_what_is_no_month(tmp_path: Path, month: str) -> None:
    found, problems = read(tmp_path, f"month,amount\n{month},5\n2026-12,7\n")
    assert [(one.usd, one.end) for one in found] == [(7, datetime(2027, 1, 1, tzinfo=UTC))]
    assert "is not a month" in problems.kept[0].reason


def test_a_result_without_an_amount_costs_no_other(tmp_path: Path) -> None:
    good = {"currency": "USD", "amount": "123.45", "cost_type": "tokens", "model": "claude-sonnet-4-5"}
    bucket = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z",
              "results": [{"currency": "USD"}, good]}  # fmt: skip
    found, problems = read(tmp_path, json.dumps({"data": [bucket]}))
    assert [one.usd for one in found] == [Fraction("1.2345")]
    assert problems.reasons == {"not a line of an invoice": 1}


@pytest.mark.parametrize("rows", [1, 1000])
def test_a_file_that_is_no_invoice_is_one_readable_line(tmp_path: Path, rows: int) -> None:
    with pytest.raises(FarthingError, match="holds usage, not money"):
        read(tmp_path, "date,model,input_tokens\n" + "2026-11-01,m,5\n" * rows)
    with pytest.raises(FarthingError, match="workbook, archive, PDF or Parquet"):
        read(tmp_path, "PK\x03\x04")


@pytest.mark.parametrize(
    ("amount", "usd"),
    [("1,234.56", Fraction("1234.56")), ("$1,234,567", Fraction(1234567)), ("0,041", None), ("1,234", None)],
)
def test_a_comma_that_may_be_a_decimal_one_is_refused(tmp_path: Path, amount: str, usd: Fraction | None) -> None:
    file = tmp_path / "invoice.csv"
    file.write_text(f'date,model,amount\n2026-11-03,m,"{amount}"\n2026-11-04,m,1\n')
    problems = Problems()
    lines = read_invoice(file, problems)
    assert [line.usd for line in lines] == ([usd] if usd is not None else []) + [1]
    assert problems.total == (usd is None)
