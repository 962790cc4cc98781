"""How the TOML rate card refuses: one line that names the place and the repair, and never a traceback."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.rates.toml import load_card
from tests.rates.test_toml import HEAD, RATES, SOURCE, only, refusal

TWO = HEAD + RATES  # lines 1 to 8


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no [[offer]]"),
        ("offer = 3\n", 1, "list of tables"),
        (HEAD, 5, "price without rates"),
        (SOURCE + '[[offer]]\nprovider = "p"\nmodel = "m"\n', 2, "write [[offer.price]]"),
        (TWO + "currnecy = 1\n", 9, "unknown meter 'currnecy'"),
        (SOURCE + "sauce = 1\n" + TWO.removeprefix(SOURCE), 2, "unknown key 'sauce' (did you mean 'source'?)"),
        (TWO.replace('model = "m"', 'model = "m"\nregoin = "eu"'), 5, "did you mean 'region'"),
        (TWO.replace('source = "s"', 'source = "t"'), 6, "no [source.t] (add it, or name one of: s)"),
        (TWO.replace('source = "s"\n', ""), 5, "every number has a source"),
        (TWO.replace("seen = 2026-11-01, ", ""), 1, "'seen' is missing"),
        (TWO.replace("2026-11-01", '"2026-11-01"'), 1, "without quotes"),
        (TWO.replace("vendor-stated", "gossip"), 1, "grade 'gossip' is not one of measured"),
        (TWO.replace('provider = "p"\n', ""), 2, "'provider' is missing"),
        (TWO.replace('"p"', "3"), 3, "'provider' is 3, not text"),
        (TWO + "input = 2\n", 9, "duplicate key"),
        (TWO + "[offer.price.rates]\noutput = 2\n", 9, "duplicate key or table"),
        (TWO + "cache_read = 1\ncache-read = 2\n", 10, "priced twice"),
        (TWO + "ouput = 1\n", 9, "did you mean 'output'?"),
        (TWO + 'output = "2.50"\n', 9, "write it without quotes"),
        (TWO + "output = true\n", 9, "not a number"),
        (TWO + "output = nan\n", 9, "not a finite number (leave out what is unknown)"),
        (TWO + "output = inf\n", 9, "not a finite number"),
        (TWO + "output = -1\n", 9, "at least 0"),
        (TWO + "output = 1e999999\n", 9, "absurd"),
        (TWO + "output = 1e-40\n", 9, "absurd"),
        (HEAD + "valid_from = 0001-01-01T00:00:00+14:00\n" + RATES, 7, "outside the years 1 to 9999"),
        (TWO + "output = [1]\n", 9, "not a number"),
        (TWO + "output = {}\n", 9, "needs one of amount, brackets, or low and high"),
        (TWO + "output = { amount = 1, low = 1, high = 2 }\n", 9, "needs one of"),
        (TWO + "output = { low = 2 }\n", 9, "state both low and high"),
        (TWO + "output = { low = 2, high = 1 }\n", 9, "above high"),
        (TWO + "output = { amount = 1, per = 0 }\n", 9, "whole number of at least 1"),
        (TWO + "output = { amount = 1, per = 1.5 }\n", 9, "whole number"),
        (TWO + "output = { amount = 1, step = 0 }\n", 9, "above 0"),
        (TWO + "output = { amuont = 1 }\n", 9, "did you mean 'amount'?"),
        (TWO + "output = { brackets = [{ up_to = 5, amount = 1 }] }\n", 9, "last bracket"),
        (TWO + "output = { brackets = [{ amount = 1 }, { amount = 2 }] }\n", 9, "last bracket"),
        (
            TWO + "output = { brackets = [{ up_to = 5, amount = 1 }, { up_to = 5, amount = 2 }, { amount = 3 }] }\n",
            9,
            "rising order",
        ),
        (TWO + 'output = { amount = 1, free = { quantity = 5, per = "week" } }\n', 9, "one of day, month, ever"),
        (TWO + "output = { amount = 1, free = { quantity = 5 } }\n", 9, "'per' is missing"),
        (HEAD + "valid_from = 2026-01-01T00:00:00\n" + RATES, 7, "no time zone"),
        (HEAD + 'valid_from = "2026-01-01"\n' + RATES, 7, "unquoted"),
        (HEAD + "valid_from = 2026-02-01\nvalid_to = 2026-01-01\n" + RATES, 8, "ends before it starts"),
        (HEAD + "valid_from = 2026-02-30\n" + RATES, 7, ""),
        (HEAD + 'currency = "CNY"\n' + RATES, 7, "state the dollars for one CNY"),
        (HEAD + 'currency = "yuan"\nusd = 0.14\n' + RATES, 7, "write its code"),
        (HEAD + "currency = '''x\ny'''\nusd = 0.14\n" + RATES, 7, "write its code"),  # one line, whatever it quotes
        (HEAD + "usd = 0.14\n" + RATES, 7, "a dollar is not 0.14 dollars"),
        (TWO.replace('model = "m"', 'model = "m"\npattern = "("'), 5, "not a regular expression"),
        (TWO.replace("[[offer]]", "[[offer"), 2, ""),
    ],
)
def test_a_refusal_names_line_and_repair(text: str, line: int, words: str) -> None:
    said = refusal(text)
    assert said.startswith(f"card.toml:{line}: "), said
    assert words in said


RULE = TWO + "[[offer.price.rule]]\n"
TWICE = "when = {{ {} }}\nmultiply = 0.5\n[[offer.price.rule]]\nwhen = {{ {} }}\nmultiply = 0.5\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("multiply = 0.5\n", 9, "belong in [offer.price.rates]"),
        ("when = {}\nmultiply = 0.5\n", 10, "an empty 'when'"),
        (TWICE.format('tier = "batch"', 'tier = "batches"'), 5, "two factors by tier"),
        (TWICE.format('regions = ["eu-*"]', 'regions = ["eu-1", "us-1"]'), 5, "neither the narrower"),
        (
            TWICE.format("period = { from = 2026-11-01, to = 2026-12-01 }", "period = { from = 2026-11-20 }"),
            5,
            "factors of one kind do not multiply",
        ),
        ('when = { tier = "batch" }\n', 9, "either 'rates' or 'multiply'"),
        ('when = { tier = "batch" }\nmultiply = 0.5\nrates = { input = 1 }\n', 9, "either"),
        ('when = { tier = "batch" }\nrates = { input = 1 }\nmeters = ["input"]\n', 12, "names its own"),
        ('when = { tier = "batch" }\nmultiply = 0.5\nmeters = ["imput"]\n', 12, "did you mean 'input'?"),
        ('when = { teir = "batch" }\nmultiply = 0.5\n', 10, "did you mean 'tier'?"),
        ('when = { region = "eu" }\nmultiply = 0.5\n', 10, "did you mean 'regions'?"),
        ('when = { regions = "eu" }\nmultiply = 0.5\n', 10, "write regions ="),
        ("when = { size = 1.5 }\nmultiply = 0.5\n", 10, "not text or a whole number"),
        ("when = { context = {} }\nmultiply = 0.5\n", 10, "without a threshold"),
        ("when = { context = { over = 1, at_least = 1 } }\nmultiply = 0.5\n", 10, "keep one"),
        ("when = { context = { up_to = 1, under = 1 } }\nmultiply = 0.5\n", 10, "keep one"),
        ("when = { context = { over = 5, up_to = 5 } }\nmultiply = 0.5\n", 10, "no quantity"),
        ('when = { context = { over = 5, of = "promt" } }\nmultiply = 0.5\n', 10, "unknown meter 'promt'"),
        ("when = { context = { above = 5 } }\nmultiply = 0.5\n", 10, "unknown key 'above'"),
        ('when = { time = { from = "9:00", to = "10:00" } }\nmultiply = 0.5\n', 10, 'write "HH:MM" in UTC'),
        ('when = { time = { from = "09:00", to = "24:01" } }\nmultiply = 0.5\n', 10, "not a time of day"),
        ('when = { time = { from = "09:60", to = "10:00" } }\nmultiply = 0.5\n', 10, "not a time of day"),
        ('when = { time = { from = "09:00" } }\nmultiply = 0.5\n', 10, "both 'from' and 'to'"),
        ('when = { time = { from = "09:00", to = "09:00" } }\nmultiply = 0.5\n', 10, "no length"),
        ('when = { time = { days = ["monday"] } }\nmultiply = 0.5\n', 10, "not a day of the week"),
        ('when = { time = { decides = "end" } }\nmultiply = 0.5\n', 10, "one of start, completion"),
        (
            'when = { time = [{ days = ["mon"] }, { days = ["tue"], decides = "completion" }] }\nmultiply = 0.5\n',
            10,
            "write two rules",
        ),
        ("when = { time = { dates = [2026-01-01], not_dates = [2026-01-01] } }\nmultiply = 0.5\n", 10, "in both"),
        ("when = { period = {} }\nmultiply = 0.5\n", 10, "a period without"),
        ("when = { period = { from = 2026-02-01, to = 2026-01-01 } }\nmultiply = 0.5\n", 10, "before it starts"),
        ("when = { period = { from = 2026-02-01T00:00:00 } }\nmultiply = 0.5\n", 10, "no time zone"),
    ],
)
def test_a_bad_rule(text: str, line: int, words: str) -> None:
    said = refusal(RULE + text)
    assert said.startswith(f"card.toml:{line}: "), said
    assert words in said


def test_ambiguous_prices_are_refused_until_a_third_covers_the_overlap() -> None:
    both = (
        RULE + 'when = { tier = "batch" }\nrates = { input = 0.5 }\n'
        "[[offer.price.rule]]\nwhen = { context = { over = 100 } }\nrates = { input = 2 }\n"
    )
    said = refusal(both)
    assert said.startswith("card.toml:5: two prices of 'input' can hold for one request")
    assert "by context" in said and "by tier" in said
    third = '[[offer.price.rule]]\nwhen = { tier = "batch", context = { over = 100 } }\nrates = { input = 1.2 }\n'
    assert len(only(both + third).prices[0].rates) == 4
    again = RULE + 'when = { tier = "batch" }\nrates = { input = 1 }\n[[offer.price.rule]]\n'
    assert refusal(again + 'when = { tier = "batch" }\nrates = { input = 2 }\n').startswith("card.toml:12: ")


def test_overlapping_records_and_shared_names_are_refused() -> None:
    record = "[[offer.price]]\nvalid_from = {}\nsource = 's'\nrates.input = 1\n"
    one = SOURCE + '[[offer]]\nprovider = "p"\nmodel = "m"\n'
    twice = one + record.format("2026-01-01") + record.format("2026-01-01T00:00:00Z")
    assert refusal(twice).startswith("card.toml:9: two prices of one offer with the same valid_from")
    undated = one + 2 * "[[offer.price]]\nsource = 's'\nrates.input = 1\n"
    assert refusal(undated).startswith("card.toml:8: two prices")
    closed = record.format("2026-01-01").replace("source", "valid_to = 2026-03-01\nsource")
    overlap = one + closed + record.format("2026-02-01")
    assert refusal(overlap).startswith("card.toml:7: this price overlaps the next")
    gap = one + closed + record.format("2026-04-01")
    assert len(only(gap).prices) == 2
    other = '[[offer]]\nprovider = "p"\nmodel = "n"\naliases = ["M"]\n' + record.format("2026-01-01")
    assert refusal(one + record.format("2026-01-01") + other).startswith("card.toml:9: p/m is offered twice")
    apart = other.replace('model = "n"', 'model = "n"\nchannel = "azure"')
    assert len(load_card(one + record.format("2026-01-01") + apart).offers) == 2


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="cannot be read: No such file"):
        load_card(tmp_path / "none.toml")
    with pytest.raises(FarthingError, match="cannot be read"):
        load_card(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'title = "\xe9"')
    with pytest.raises(FarthingError, match="not UTF-8"):
        load_card(latin)


def test_the_line_is_that_of_the_right_offer_price_and_rule() -> None:
    offer = '[[offer]]\nprovider = "p"\nmodel = "{}"\n'
    price = '[[offer.price]]\nvalid_from = {}\nsource = "s"\nrates.input = 1\n'
    rule = '[[offer.price.rule]]\nwhen = {{ size = "{}" }}\n{}\n'
    text = SOURCE
    for model in "ab":
        text += offer.format(model)
        for day in ("2026-01-01", "2026-02-01"):
            text += price.format(day) + "".join(rule.format(size, f"multiply = 0.{size}") for size in (1, 2))
    assert len(load_card(text).offers) == 2
    lines = text.splitlines(keepends=True)
    wrong = [number for number, line in enumerate(lines) if line.startswith("multiply")]
    assert len(wrong) == 8
    for number in wrong:
        damaged = [*lines[:number], "multiply = -1\n", *lines[number + 1 :]]
        assert refusal("".join(damaged)).startswith(f"card.toml:{number + 1}: 'multiply'")


def test_lines_are_found_past_strings_and_comments() -> None:
    text = (
        "# [[offer]]\n"
        'source.s = { title = """a\n[[offer]]\nb = 1 # no comment\n""", where = "x = [", '
        "seen = 2026-11-01, grade = 'assumed' }\n"
        "[[offer]] # a ' quote\n"
        'provider = "p"\nmodel = "m#1"\n'
        "aliases = [ # one a line\n  'a',\n  'b]',\n]\n"
        '[[offer.price]]\nsource = "s"\n[offer.price.rates]\ninput = 1\n\n\n"ouput" = 2\n'
    )
    line = text.splitlines().index('"ouput" = 2') + 1
    assert refusal(text).startswith(f"card.toml:{line}: unknown meter 'ouput'")
    assert refusal(text.replace("\n", "\r\n")).startswith(f"card.toml:{line}: ")


@given(st.text(alphabet="[]{}\"'=.#\n ab1\\", max_size=60))
def test_no_text_is_a_traceback(text: str) -> None:
    with pytest.raises(FarthingError):
        load_card(text, "card.toml")


@given(st.integers(0, len(RULE)), st.sampled_from(["", "[", "]]", '"', "x = 1\n", "\n", "= ", "0", "{"]))
def test_a_damaged_card_is_read_or_refused(at: int, inserted: str) -> None:
    rule = RULE + 'when = { tier = "batch" }\nmultiply = 0.5\n'
    try:
        load_card(rule[:at] + inserted + rule[at:], "card.toml")
    except FarthingError as error:
        assert str(error).startswith("card.toml:")
