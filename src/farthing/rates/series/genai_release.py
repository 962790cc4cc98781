"""The price data of a past genai-prices release: its `data.py`, or the JSON of its repository.

`data.py` is Python that builds a list. It is parsed, never run: only the calls, literals and names that such a file
is known to hold are understood, and anything else is a problem with its line.
"""

import ast
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from farthing.problems import FarthingError, Problem
from farthing.rates.feeds.base import Imported, read_json

_SKIPPED = ("UsageExtractor", "UsageExtractorMapping", "ArrayMatch")
"""How to read responses; nothing of prices."""
_UTC = ("datetime.timezone.utc", "datetime.UTC")


def looks_like(content: bytes) -> bool:
    """Whether `content` is a release's `data.py`."""
    return b"ModelInfo(" in content and b"Provider(" in content


def looks_like_json(data: object) -> bool:
    """Whether `data` is a release's JSON: a list of providers with models."""
    return isinstance(data, list) and bool(data) and all(isinstance(p, dict) and "models" in p for p in data)


def read_release(content: bytes, where: str, version: str) -> Imported:
    """The catalogue in the `data.py` that `content` holds; `version` names the release.

    Raises `FarthingError` for what is not such a file; parts that are not understood are problems in the result.
    """
    from farthing.rates.feeds.genai import import_providers

    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FarthingError(f"{where}: not a genai-prices data.py: {error}") from None
    reader = _Reader(where)
    for node in tree.body:
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id="providers"), value=ast.List() as listed)
                | ast.Assign(targets=[ast.Name(id="providers")], value=ast.List() as listed)
            ):
                providers = [p for p in map(reader.value, listed.elts) if p is not None]
                imported = import_providers(providers, version)
                imported.not_expressed.extend(reader.problems)
                return imported
    raise FarthingError(f"{where}: a genai-prices data.py holds a list called providers, and this holds none")


def read_release_json(content: bytes, where: str, version: str) -> Imported:
    """The catalogue in the JSON that `content` holds. Raises `FarthingError` where the package cannot read it."""
    from genai_prices import types

    from farthing.rates.feeds.genai import import_providers

    data, _ = read_json(content, where)
    try:
        # How to read responses is left out: it is nothing of prices, and changes with the package.
        raw = [{key: value for key, value in one.items() if key != "extractors"} for one in data]
        providers = types._providers_from_raw(raw)
    except (TypeError, ValueError, AttributeError) as error:  # pydantic's errors are ValueErrors
        reason = " ".join(str(error).split())
        raise FarthingError(f"{where}: not genai-prices data: {reason[:200]}") from None
    return import_providers(providers, version)


class _Reader:
    """Builds the package's own objects from a syntax tree."""

    def __init__(self, where: str) -> None:
        from genai_prices import types

        self.where = where
        self.problems: list[Problem] = []
        self.known: dict[str, Callable[..., Any]] = {
            name: getattr(types, name)
            for name in (
                "Provider", "ModelInfo", "ModelPrice", "TieredPrices", "Tier", "ConditionalPrice", "PriceVariant",
                "StartDateConstraint", "TimeOfDateConstraint", "ClauseEquals", "ClauseStartsWith", "ClauseEndsWith",
                "ClauseContains", "ClauseRegex", "ClauseOr", "ClauseAnd",
            )
            if hasattr(types, name)
        }  # fmt: skip

    def problem(self, node: ast.AST, reason: str) -> None:
        self.problems.append(Problem(f"{self.where}:{getattr(node, 'lineno', '?')}", reason))

    def value(self, node: ast.expr) -> Any:
        """The value of an expression; None (with a problem) for one that such a file does not hold."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.List(elts=elements):
                return [self.value(element) for element in elements if not self.skipped(element)]
            case ast.Dict(keys=keys, values=values):
                return {self.value(k): self.value(v) for k, v in zip(keys, values, strict=True) if k is not None}
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.Call():
                return self.call(node)
            case ast.Attribute() if ast.unparse(node) in _UTC:
                return UTC
        self.problem(node, f"{ast.unparse(node)[:60]} is not understood")
        return None

    def skipped(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and _name(node) in _SKIPPED

    def call(self, node: ast.Call) -> Any:
        name = _name(node)
        if name in _SKIPPED:
            return None
        arguments = [self.value(argument) for argument in node.args]
        named = {word.arg: self.value(word.value) for word in node.keywords if word.arg and word.arg != "extractors"}
        try:
            match name:
                case "Decimal":
                    return Decimal(*arguments)
                case "datetime.date" | "date":
                    return date(*arguments)
                case "datetime.time" | "time":
                    return time(*arguments, **named)
                case "datetime.timezone" | "timezone":
                    return timezone(*arguments)
                case "datetime.timedelta" | "timedelta":
                    return timedelta(*arguments, **named)
                case "datetime.datetime" | "datetime":
                    return datetime(*arguments, **named)
            if name not in self.known:
                self.problem(node, f"{name}(…) is not known")
                return None
            return self.known[name](*arguments, **self.accepted(node, name, named))
        except (TypeError, ValueError, InvalidOperation) as error:
            self.problem(node, f"{name}: {error}")
            return None

    def accepted(self, node: ast.Call, name: str, named: dict[str, Any]) -> dict[str, Any]:
        """`named` without what the installed package's class no longer has; a price among that is a problem."""
        fields = getattr(self.known[name], "__dataclass_fields__", None)
        if fields is None:
            return named
        for word in sorted(set(named) - set(fields)):
            if "price" in word or "mtok" in word:
                self.problem(node, f"{name}: {word} is not known")
        return {word: value for word, value in named.items() if word in fields}


def _name(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
