"""Our own JSON: {"format": "farthing-measurements/1", "measurements": [...]}; the live benchmark writes it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from farthing.files import write_whole
from farthing.serving.measured.base import Reader
from farthing.serving.measured.check import finished
from farthing.serving.measured.fields import Refused
from farthing.serving.measured.measurement import Measurement

NAME = "farthing"
FORMAT = "farthing-measurements/1"


def fits(record: Mapping[str, Any]) -> bool:
    """Whether `record` names our format."""
    return str(record.get("format", "")).startswith("farthing-measurements/")


def parts(record: Mapping[str, Any], source: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The measurements of a file. Raises `Refused` for a version that is not ours."""
    if record.get("format") != FORMAT:
        raise Refused(f"format {record.get('format')!r} is not known", f"this version reads {FORMAT}", "other version")
    for position, one in enumerate(record.get("measurements", ()), 1):
        yield one, f"{source}[{position}]"


def read(record: Mapping[str, Any], source: str) -> Measurement:
    """The measurement that `record` spells out. Raises `Refused` naming the field that is wrong."""
    given = {name: value for name, value in record.items() if name not in ("doubts", "derived", "statistic")}
    unknown = set(given) - set(Measurement.__struct_fields__)
    if unknown:
        raise Refused(f"unknown field {sorted(unknown)[0]!r}", "", "unknown field")
    try:
        made = msgspec.convert({**given, "source": source}, Measurement)
    except msgspec.ValidationError as fault:
        raise Refused(str(fault), "write it as `farthing host bench` does", "wrong field") from None
    # `finished` finds these again; what it finds must not stand twice.
    kept = tuple(note for note in made.notes if not note.startswith("throughput × time"))
    stated = tuple(name for name in record.get("derived", ()) if name == "concurrency")
    cleared = {name: None for name in record.get("derived", ()) if name in _FOLLOW}
    return finished(msgspec.structs.replace(made, derived=stated, notes=kept, **cleared))


_FOLLOW = ("requests_per_s", "output_tokens_per_s", "input_tokens_per_s")


def document(measurements: Iterable[Measurement], more: Mapping[str, Any] | None = None) -> str:
    """The JSON text of `measurements`, with `more` beside them."""
    tree = {"format": FORMAT, **(more or {}), "measurements": list(measurements)}
    return msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n"


def write(out: Path, measurements: Iterable[Measurement], more: Mapping[str, Any] | None = None) -> None:
    """Write `document` to `out`, whole or not at all. Raises `FarthingError`."""
    write_whole(out, document(measurements, more))


READER = Reader(NAME, f'"format": "{FORMAT}" and "measurements"', fits, read, parts)
