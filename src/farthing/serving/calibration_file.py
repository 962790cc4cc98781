"""Calibrations as a file of our own: TOML, "farthing-calibration/1", one [[calibration]] each."""

import json
from collections.abc import Iterable
from pathlib import Path

from farthing.files import write_whole
from farthing.problems import FarthingError
from farthing.rates.toml_table import Document, Table
from farthing.serving.calibration import QUANTITIES, Calibration, Moved, Point, Residual
from farthing.serving.calibration_knots import Knot

FORMAT = "farthing-calibration/1"
_SPANS = ("concurrency", "input", "output")
_STAGES = ("before", "after", "held_out")
_HEAD = """\
# Written by `farthing host calibrate` from measured points; `farthing host estimate … --calibration FILE` uses it.
# Times in ms, lengths in tokens per request. factor: on the serving model's answer at `concurrency` requests in a
# replica; per_octuple: the further factor at eight times as many. knot: a measured load and the factors that it
# brings near itself (concurrency in a replica). errors: medians, as shares of what was measured.
"""
_KNOT_NUMBERS = ("concurrency", "input", "output", "tpot", "ttft")
_POINT_NUMBERS = tuple(name for name in Point.__struct_fields__ if name not in ("source", "layout"))


def write_calibrations(out: Path, calibrations: Iterable[Calibration]) -> None:
    """Write `calibrations` to `out`, whole or not at all. Raises `FarthingError`."""
    write_whole(out, calibration_text(calibrations))


def calibration_text(calibrations: Iterable[Calibration]) -> str:
    """The TOML text of `calibrations`; `read` gives them back digit for digit."""
    return f'{_HEAD}format = "{FORMAT}"\n' + "".join(_written(one) for one in calibrations)


def load_calibrations(path: Path) -> list[Calibration]:
    """The calibrations in `path`, at least one. Raises `FarthingError` with file and line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise FarthingError(f"{path}: cannot be read: {reason}") from None
    root = Document(text, str(path)).table()
    if root.text("format") != FORMAT:
        root.fail(None, f"no calibration: format is not {FORMAT!r}", "`farthing host calibrate --out FILE` writes one")
    found = [_read(entry) for entry in root.subs("calibration")]
    if not found:
        root.fail(None, "no [[calibration]] in it")
    root.finish()
    return found


# --- text -------------------------------------------------------------------------------------------


def _written(one: Calibration) -> str:
    lines = ["", "[[calibration]]"]
    for name in ("model", "device", "engine", "weights", "measured_engine", "fit", "rule"):
        if text := getattr(one, name):
            lines.append(f"{name} = {_text(text)}")
    lines.append(f"made = {one.made}")
    if one.engine_day is not None:
        lines.append(f"engine_day = {one.engine_day}")
    for name in ("layouts", "sources", "notes"):
        if texts := getattr(one, name):
            lines.append(f"{name} = [{', '.join(map(_text, texts))}]")
    lines.append('grade = "measured"')
    for name, residual in (("tpot", one.tpot), ("ttft", one.ttft)):
        numbers = ", ".join(f"{key} = {getattr(residual, key)!r}" for key in Residual.__struct_fields__)
        lines.append(f"{name} = {{ {numbers} }}")
    spans = (f"{name} = {{ low = {low!r}, high = {high!r} }}" for name, (low, high) in one.spans.items())
    lines.append(f"spans = {{ {', '.join(spans)} }}")
    lines.append(f"widths = {{ {_numbers(one.widths)} }}")
    lines += [f"errors.{stage} = {{ {_numbers(found)} }}" for stage, found in one.errors.items()]
    for moved in one.moved:
        lines += ["[[calibration.coefficient]]", f"name = {_text(moved.name)}", f"value = {moved.value!r}"]
        lines.append(f"packaged = {moved.packaged!r}")
    for knot in one.knots:
        lines += ["[[calibration.knot]]", f"layout = {_text(knot.layout)}"]
        lines += [f"{name} = {getattr(knot, name)!r}" for name in _KNOT_NUMBERS]
    for point in one.points:
        stated = {name: getattr(point, name) for name in _POINT_NUMBERS}
        lines += ["[[calibration.point]]", f"source = {_text(point.source)}", f"layout = {_text(point.layout)}"]
        lines += [f"{name} = {value!r}" for name, value in stated.items() if value is not None]
    return "\n".join(lines) + "\n"


def _numbers(values: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in values.items())


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


# --- reading ----------------------------------------------------------------------------------------


def _read(entry: Table) -> Calibration:
    entry.choice("grade", ("measured",))
    entry.need("made")
    errors = _sub(entry, "errors")
    spans = _sub(entry, "spans")
    made = Calibration(
        model=entry.needed_text("model"), device=entry.needed_text("device"), engine=entry.needed_text("engine"),
        weights=entry.needed_text("weights"), measured_engine=entry.text("measured_engine") or "",
        fit=entry.needed_text("fit"), rule=entry.needed_text("rule"), layouts=entry.texts("layouts"),
        sources=entry.texts("sources"), notes=entry.texts("notes"), engine_day=entry.day("engine_day"),
        made=entry.day("made"),  # type: ignore[arg-type]  # needed above
        tpot=_residual(_sub(entry, "tpot")), ttft=_residual(_sub(entry, "ttft")),
        spans={name: _span(_sub(spans, name)) for name in _SPANS},
        widths=_floats(_sub(entry, "widths"), QUANTITIES),
        errors={stage: _some(_sub(errors, stage)) for stage in _STAGES if stage in errors},
        moved=tuple(_moved(one) for one in entry.subs("coefficient")),
        knots=tuple(_knot(one) for one in entry.subs("knot")),
        points=tuple(_point(one) for one in entry.subs("point")),
    )  # fmt: skip
    spans.finish()
    errors.finish()
    entry.finish()
    return made


def _sub(table: Table, name: str) -> Table:
    found = table.sub(name)
    if found is None:
        table.fail(None, f"{name!r} is missing")
    return found


def _float(table: Table, name: str) -> float:
    table.need(name)
    return float(table.number(name) or 0)


def _floats(table: Table, names: Iterable[str]) -> dict[str, float]:
    found = {name: _float(table, name) for name in names}
    table.finish()
    return found


def _some(table: Table) -> dict[str, float]:
    return _floats(table, [name for name in QUANTITIES if name in table])


def _residual(table: Table) -> Residual:
    for name in Residual.__struct_fields__:
        table.number(name, positive=True)
    return Residual(**_floats(table, Residual.__struct_fields__))


def _span(table: Table) -> tuple[float, float]:
    found = _floats(table, ("low", "high"))
    if not 0 < found["low"] <= found["high"]:
        table.fail(None, "low must be above 0 and not above high")
    return found["low"], found["high"]


def _moved(table: Table) -> Moved:
    name = table.needed_text("name")
    found = Moved(name=name, value=_float(table, "value"), packaged=_float(table, "packaged"))
    if found.value <= 0:
        table.fail("value", "'value' must be above 0")
    table.finish()
    return found


def _knot(table: Table) -> Knot:
    layout = table.needed_text("layout")
    for name in _KNOT_NUMBERS:
        table.number(name, positive=True)
    return Knot(layout=layout, **_floats(table, _KNOT_NUMBERS))


def _point(table: Table) -> Point:
    source, layout = table.needed_text("source"), table.needed_text("layout")
    optional = ("ttft_ms", "tpot_held_out_ms", "ttft_held_out_ms")
    numbers = {n: _float(table, n) for n in _POINT_NUMBERS if n not in optional or n in table}
    table.finish()
    return Point(source=source, layout=layout, **{"ttft_ms": None, **numbers})  # type: ignore[arg-type]
