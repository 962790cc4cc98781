"""The match clauses of genai-prices as one regular expression each, with the same truth value."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices import types


def pattern(clause: "types.MatchLogic") -> str:
    """A regular expression that `re.search` finds in a lower-cased name exactly when `clause` matches it.

    Letters of a `regex` clause keep their case: search the lower-cased name (ignoring case or not).
    Raises `ValueError` for a kind of clause that is not known here.
    """
    from genai_prices import types

    match clause:
        case types.ClauseEquals():
            return rf"\A{re.escape(clause.equals.lower())}\Z"
        case types.ClauseStartsWith():
            return rf"\A{re.escape(clause.starts_with.lower())}"
        case types.ClauseEndsWith():
            return rf"{re.escape(clause.ends_with.lower())}\Z"
        case types.ClauseContains():
            return re.escape(clause.contains.lower())
        case types.ClauseRegex():
            return clause.regex
        case types.ClauseOr():
            return "|".join(f"(?:{pattern(part)})" for part in clause.or_) or r"(?!)"
        case types.ClauseAnd():
            # From the start, look ahead for each part anywhere: \A and ^ in a part still mean the start.
            return r"\A" + "".join(rf"(?=[\s\S]*?(?:{pattern(part)}))" for part in clause.and_)
    raise ValueError(f"unknown kind of match clause: {type(clause).__name__}")
