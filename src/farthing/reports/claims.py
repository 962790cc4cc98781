"""Views of judged statements: the counts, the wrong ones with their computation, and the same in JSON's types."""

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.plans.claims import Judgement, Span, Verdict

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

WRONG = (Verdict.IMPOSSIBLE, Verdict.OFF)
_LONGEST = 400  # characters of one text out of a file; --json has all of it


def claims_view(judged: Sequence[Judgement], shown: Sequence[Verdict]) -> "Group":
    """The counts by document, then the statements with a verdict of `shown`, for a terminal of at most 100 columns."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(_summary(judged)), Text("")]
    if len(documents(judged)) > 1:
        parts += [_counts(judged), Text("")]
    listed = [j for verdict in _ORDER if verdict in shown for j in judged if j.verdict is verdict]
    if listed:
        parts += [_table(listed), Text("")]
    hidden = len(judged) - len(listed)
    if hidden:
        parts.append(Text(f"{hidden} more not shown: --all has every statement, --verdict one kind, --json all of it."))
    return Group(*parts)


_ORDER = (Verdict.IMPOSSIBLE, Verdict.OFF, Verdict.CANNOT_TELL, Verdict.HOLDS)


def documents(judged: Iterable[Judgement]) -> list[str]:
    """The ids of the documents, in the order in which they come."""
    return list(dict.fromkeys(j.document.id for j in judged))


def _summary(judged: Sequence[Judgement]) -> str:
    counts = Counter(j.verdict for j in judged)
    return (
        f"{len(judged)} statements: {counts[Verdict.HOLDS]} hold, {counts[Verdict.OFF]} off by a factor, "
        f"{counts[Verdict.IMPOSSIBLE]} impossible, {counts[Verdict.CANNOT_TELL]} cannot be told."
    )


def _plain(*columns: str, numbers: int = 0) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for position, name in enumerate(columns):
        right = position >= len(columns) - numbers
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    return table


def _counts(judged: Sequence[Judgement]) -> "Table":
    from rich.text import Text

    table = _plain("Document", "Title", "Hold", "Off", "Impossible", "Cannot tell", numbers=4)
    for id in documents(judged):
        theirs = [j for j in judged if j.document.id == id]
        counts = Counter(j.verdict for j in theirs)
        order = (Verdict.HOLDS, Verdict.OFF, Verdict.IMPOSSIBLE, Verdict.CANNOT_TELL)
        table.add_row(Text(id), Text(_cut(theirs[0].document.title)), *(str(counts[v] or "") for v in order))
    return table


def _table(judged: Iterable[Judgement]) -> "Table":
    from rich.text import Text

    table = _plain("Where", "Verdict", "Statement, computation")
    table.columns[0].min_width = 12
    table.columns[1].min_width = 15
    table.show_lines = False
    for j in judged:
        lines = [Text(_cut(j.says)), Text(_cut(j.finding.computation), style="dim")]
        if j.finding.note:
            lines.append(Text(_cut(j.finding.note), style="dim italic"))
        table.add_row(Text(j.id), verdict_text(j), Text("\n").join(lines))
    return table


def verdict_text(judgement: Judgement) -> "Text":
    """ "off by 1.4: too low" and the grade below."""
    from rich.text import Text

    finding = judgement.finding
    head = str(finding.verdict)
    if finding.factor is not None:
        head = f"{'off by' if finding.verdict is Verdict.OFF else 'impossible:'} {_factor(finding.factor)}"
    lines = [head, f"too {finding.too}" if finding.too else "", "" if judgement.grade is None else str(judgement.grade)]
    return Text("\n".join(filter(None, lines)))


def _factor(factor: Fraction) -> str:
    value = float(factor)
    return f"{value:.0f}x" if value >= 100 else f"{value:.3g}x"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# --- JSON -----------------------------------------------------------------------------------------


def claims_json(judged: Sequence[Judgement]) -> dict[str, Any]:
    """Everything in JSON's types. What a document states is text, digit for digit; what was computed is a number."""
    counts = Counter(j.verdict for j in judged)
    return {
        "summary": {"statements": len(judged), **{str(verdict): counts[verdict] for verdict in Verdict}},
        "claims": [_claim(j) for j in judged],
    }


def _claim(j: Judgement) -> dict[str, Any]:
    stated, finding = j.stated, j.finding
    return {
        "id": j.id,
        "document": j.document.id,
        "title": j.document.title,
        "file": j.file or None,
        "lines": list(j.lines),
        "says": j.says,
        "check": j.check,
        "stated": None
        if stated is None
        else {"low": str(stated.low), "high": str(stated.high), "as": stated.how, "unit": stated.unit},
        "verdict": str(finding.verdict),
        "factor": None if finding.factor is None else float(finding.factor),
        "too": finding.too or None,
        "computed": _span(finding.computed),
        "computation": finding.computation,
        "note": finding.note or None,
        "grade": None if j.grade is None else str(j.grade),
        "sources": [
            {
                "id": s.id,
                "title": s.title,
                "where": s.where,
                "seen": s.seen and s.seen.isoformat(),
                "grade": str(s.grade),
            }
            for s in j.grounds
        ],
    }


def _span(span: Span | None) -> dict[str, float] | None:
    return None if span is None else {"low": float(span.low), "high": float(span.high)}
