"""Tables on screens that are too narrow for them: nothing is cut, words stay whole as long as they can."""

import io
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from farthing.reports.fit import fitted

HEAD = ("upstream", "model", "USD", "note")


def shown(table: Table, width: int) -> str:
    screen = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    made, needed = fitted(screen, table)
    screen.width = max(width, needed)
    with screen.capture() as capture:
        screen.print(made)
    return capture.get()


def made(rows: list[tuple[str, str, str, str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in HEAD:
        table.add_column(name, overflow="fold", justify="right" if name == "USD" else "left", no_wrap=name == "USD")
    for upstream, model, usd, note in rows:
        table.add_row(Text(upstream), Text(model), usd, note)
    return table


def test_a_table_that_fits_is_left_as_it_is() -> None:
    table = made([("openai", "gpt-4o", "$1.00", "some words to wrap between")])
    screen = Console(width=40)
    assert fitted(screen, table)[0] is table


def test_borders_are_no_part_of_words() -> None:
    table = Table(pad_edge=False)
    table.add_column("USD", justify="right", no_wrap=True)
    table.add_column("why")
    table.add_row("+$0.5", "as many words as there is room for, and some more of them")
    assert fitted(Console(width=40), table)[0] is table


def test_columns_without_a_value_go_first() -> None:
    # 8 + 17 + 13 and 4 of the note, two blanks between: 48 columns, 42 without the note.
    table = made([("openai", "claude-sonnet-4-6", "$2.7182818284", "-")])
    assert "note" in shown(table, 48)
    narrow = shown(table, 47)
    assert "note" not in narrow and "claude-sonnet-4-6" in narrow and "$2.7182818284" in narrow


def test_names_are_folded_after_separators_and_numbers_never_cut() -> None:
    text = shown(made([("upstream/amber", "claude-sonnet-4-6", "$2.7182818284", "all is well")]), 40)
    assert "$2.7182818284" in text
    assert all(len(line.rstrip()) <= 40 for line in text.splitlines())
    words = set(text.split())
    assert {"upstream/", "amber"} <= words or "upstream/amber" in words
    assert "claude-sonnet-4-6" in words or {"claude-", "sonnet-"} <= words or "claude-sonnet-" in words


def test_what_cannot_be_folded_is_shown_wider_than_the_screen() -> None:
    assert "$1234567890123456789.00" in shown(made([("a", "b", "$1234567890123456789.00", "c")]), 20)


def test_styles_live_through_a_fold() -> None:
    table = made([("a", "b", "1", "c")])
    table.add_row(Text("x" * 30 + "/" + "y" * 30, style="bold"), "b", "2", "c")
    screen = Console(file=io.StringIO(), width=40)
    found, _ = fitted(screen, table)
    assert isinstance(found, Table)
    cell = list(found.columns[0].cells)[1]
    assert isinstance(cell, Text) and "\n" in cell.plain
    assert "bold" in str(cell.style) or any("bold" in str(span.style) for span in cell.spans)


_WORD = st.text("abc/-._ ", max_size=60)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(_WORD, _WORD, st.integers(0, 10**30).map(str), _WORD), min_size=1, max_size=4),
    st.integers(20, 120),
)
def test_every_number_and_letter_is_shown(rows: list[tuple[str, str, str, str]], width: int) -> None:
    text = shown(made(rows), width)
    for row in rows:
        assert row[2] in text
    letters = sum(len(re.findall("[abc]", "".join((a, b, d)))) for a, b, _, d in rows)
    head = "upstreammodelUSDnote"
    gone = "" if "note" in text else "note"
    gone += "" if re.search(r"\bmodel\b", text) else "model"
    assert len(re.findall("[abc]", text)) == letters + len(re.findall("[abc]", head)) - len(re.findall("[abc]", gone))
