"""The Python API: `import farthing`, its names, and what each function returns and refuses."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.rates.book import Book
from farthing.rates.toml import load_card

AT = "2026-11-01"
MILLION = 10**6


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(minute: int = 0, **more: Any) -> dict[str, Any]:
    stated = {"at": f"2026-11-01T09:{minute:02}:00Z", "provider": "openai", "model": "gpt-4o"}
    return {**stated, "input": 1000, "output": 200, **more}


def test_every_name_is_there_and_nothing_else() -> None:
    for name in farthing.__all__:
        assert getattr(farthing, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = farthing.nothing


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, farthing; print(sorted({'duckdb', 'numpy', 'rich', 'altair', 'typer'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"


# --- price ------------------------------------------------------------------------------------


def test_a_price_is_exact() -> None:
    charge = farthing.price("openai/gpt-4o", input=1000, output=200, at=AT)
    assert charge.total_usd == Fraction(45, 10_000)  # (1,000 x 2.5 + 200 x 10) / 10^6
    assert isinstance(charge.total_usd, Fraction)
    assert [line.meter for line in charge.lines] == ["input", "output"]


def test_times_are_aware_datetimes_or_text() -> None:
    same = [AT, "2026-11-01T00:00:00Z", datetime(2026, 11, 1, tzinfo=UTC)]
    assert {farthing.price("openai/gpt-4o", input=7, at=at).usage.at for at in same} == {same[2]}
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= farthing.price("openai/gpt-4o", input=7).usage.at <= datetime.now(UTC)
    for naive in ("2026-11-01T09:00:00", datetime(2026, 11, 1)):
        with pytest.raises(farthing.FarthingError, match="has no time zone"):
            farthing.price("openai/gpt-4o", input=7, at=naive)


def test_a_price_by_tier_region_attributes_and_sum() -> None:
    book = Book([load_card(CARD)])
    assert farthing.price("acme/m", input=MILLION, at=AT, book=book).total_usd == 3
    assert farthing.price("acme/m", input=MILLION, tier="batch", at=AT, book=book).total_usd == Fraction(3, 2)
    assert farthing.price("acme/m", input=MILLION, region="eu-1", at=AT, book=book).total_usd == Fraction("3.3")
    assert farthing.price("acme/m", image=1, attrs={"size": "big"}, at=AT, book=book).total_usd == Fraction("0.08")
    assert farthing.price("acme/m", input=MILLION, requests=1000, at=AT, book=book).total_usd == 3


CARD = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-10-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 3
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 0.5
[[offer.price.rule]]
when = { regions = ["eu-*"] }
multiply = 1.1
[[offer.price.rule]]
when = { size = "big" }
rates = { image = 0.08 }
"""


def test_unknown_is_none() -> None:
    charge = farthing.price("openai/gpt-4o", input=1000, maps_search=1, at=AT)
    assert charge.total_usd is None
    assert charge.known_usd == Fraction(25, 10_000)
    assert [line.meter for line in charge.unknown] == ["maps_search"]


@pytest.mark.parametrize(
    ("offer", "counts", "says"),
    [
        ("openai/gpt-4oo", {"input": 1}, "near it: gpt-4o"),
        ("openai/gpt-4o", {"inptu": 1}, "unknown meter 'inptu'; did you mean 'input'"),
        ("openai/gpt-4o", {"input": -1}, "cannot be negative"),
        ("openai/gpt-4o", {"input": 1.5}, "not a whole number"),
        ("openai/gpt-4o", {"input": True}, "not a number"),
        ("openai/gpt-4o", {"output": 1, "reasoning": 2}, "cannot exceed it"),
        ("openai/gpt-4o", {"input": 1, "requests": 0}, "requests is 0, not a positive count"),
        ("openai/gpt-4o", {"input": 1, "requests": -2}, "requests is -2, not a positive count"),
    ],
)
def test_mistakes_are_one_readable_error(offer: str, counts: dict[str, Any], says: str) -> None:
    with pytest.raises(farthing.FarthingError, match=says) as refused:
        farthing.price(offer, at=AT, **counts)
    assert "\n" not in str(refused.value)


# --- files ------------------------------------------------------------------------------------


def test_read_usage_streams_and_keeps_what_it_rejects(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "u.jsonl", row(), row(1, at="2026-11-01T09:00:00"), row(2))
    problems = farthing.Problems()
    rows = list(farthing.read_usage([file], problems))
    assert [type(one) for one in rows] == [farthing.Usage, farthing.Usage]
    assert (problems.total, problems.kept[0].place) == (1, f"{file}:2")
    assert len(list(farthing.read_usage([str(file)]))) == 2  # without a place to collect them
    with pytest.raises(farthing.FarthingError, match=r"nothing\.jsonl"):
        list(farthing.read_usage([tmp_path / "nothing.jsonl"]))


def test_read_usage_with_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "u.csv"
    file.write_text("when,in\n2026-11-01T09:00:00Z,5\n")
    [one] = farthing.read_usage([file], mapping={"at": "when", "input": "in", "model": "=gpt-4o"})
    assert (one.quantities, one.model) == ({"input": 5}, "gpt-4o")


def test_summarise(tmp_path: Path) -> None:
    made = farthing.summarise([jsonl(tmp_path / "u.jsonl", row(), row(1, input=-1), row(2, input=500))])
    assert made.rows == 2
    assert made.quantities["input"] == 1500


def test_replay(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "u.jsonl", row(), row(1), row(2, input=-5))
    problems = farthing.Problems()
    made = farthing.replay([file], to=["openai/gpt-4o-mini"], policies=["as-is", "batch"], problems=problems)
    assert made.as_is.total_usd == Fraction(9, 1000)  # 2 x (1,000 x 2.5 + 200 x 10) / 10^6
    assert [(one.offer, one.policy, one.total_usd) for one in made.rows] == [
        ("as served", "batch", Fraction(45, 10_000)),
        ("openai/gpt-4o-mini", "as-is", Fraction(54, 100_000)),  # 2 x (1,000 x 0.15 + 200 x 0.60) / 10^6
        ("openai/gpt-4o-mini", "batch", Fraction(27, 100_000)),
    ]
    assert problems.total == 1
    with pytest.raises(farthing.FarthingError, match="unknown policy 'magic'"):
        farthing.replay([file], policies=["magic"])


def test_replay_with_ratios_and_a_card(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "u.jsonl", row())
    book = Book([load_card(CARD.replace("input = 3", "input = 3\noutput = 10"))])
    ratios = {"acme/*": Fraction("1.5")}
    made = farthing.replay(
        [file], to=["acme/*"], policies=["as-is"], book=book, token_ratios=ratios, answer_ratios={"acme/m": 2}
    )
    [one] = made.rows
    # 1,000 x 1.5 x 3 + 200 x 1.5 x 2 x 10, a million
    assert one.total_usd == Fraction(4500 + 6000, MILLION)


def test_reconcile(tmp_path: Path) -> None:
    usage = jsonl(tmp_path / "u.jsonl", row(), row(1))
    invoice = tmp_path / "invoice.csv"
    invoice.write_text("date,provider,model,amount_usd\n2026-11-01,openai,gpt-4o,0.009\n")
    made = farthing.reconcile([usage], invoice)
    assert made.charged_usd == made.billed_usd == Fraction(9, 1000)
    assert (made.difference_usd, made.rows, made.invoice_lines) == (0, 2, 1)
