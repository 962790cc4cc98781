"""The shipped library of model shapes: a model by its id, an alias, a provider's name for it, or its config.json."""

import difflib
import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import msgspec

from farthing.evidence import Source
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table
from farthing.serving.config import PRECISIONS, checkpoint_precision, read_config, shape_of_values
from farthing.serving.shape import ModelShape

# What follows a model's name where its shape is the same: its tuning, its number format, its release.
_FINISH = re.compile(
    r"-(?:fp8|fp4|nvfp4|mxfp4|bf16|fp16|int4|int8|awq|gptq|gguf|w4a16|w8a8|dynamic|quantized|hf|base|pt|it"
    r"|instruct|chat|thinking|turbo|fast|tee|maas|free|\d{4}|q\d-k-[ms]|q\d-0|\d+bit)$"
)

# Number formats by the word for them in a model's name.
_FORMATS = {
    "bf16": "bf16",
    "fp16": "bf16",
    "fp8": "fp8",
    "int8": "int8",
    "w8a8": "int8",
    "int4": "int4",
    "awq": "int4",
    "w4a16": "int4",
    "fp4": "fp4",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
}


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters as the model's maker states them: in total, and passed by one token (None: all, or not stated).

    `exact`: `total` is the count of the published weights, not a rounded one. `active_of`: what its maker
    counts as active: "all" the weights, "head" the output head but not the embedding's table, "layers" neither.
    """

    total: int
    active: int | None
    exact: bool
    active_of: str
    source: Source


class _Library(msgspec.Struct, frozen=True):
    tables: dict[str, Table]
    sources: Sources
    by_key: dict[str, str]


def find(name: str) -> ModelShape:
    """The shape of the model called `name`: an id, an alias, with or without its organisation, in any case.

    A name that ends in ".json", or is a file or a folder with a config.json, is read as one. A tuning,
    number format or date at its end ("-Instruct", "-FP8", "-0528") may be left out or added: the shape is
    the same. Raises `FarthingError` with the nearest names for one that is not known.
    """
    config = _config(name)
    return _shape(_id(name)) if config is None else read_config(config)


def _config(name: str) -> Path | None:
    """The config.json that `name` stands for, if it is a path."""
    if name.endswith(".json"):
        return Path(name)
    return next((path for path in (Path(name), Path(name) / "config.json") if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than a file's name may be
        return False


def names() -> tuple[str, ...]:
    """The ids of the library, in its order (by maker, then by size)."""
    return tuple(_library().tables)


def source_of(name: str) -> Source:
    """Who states the shape of the model called `name`."""
    id = _id(name)
    return _source(_library().tables[id], id)


def published(name: str) -> Published:
    """The published parameter counts of the model called `name`."""
    id = _id(name)
    table = _library().tables[id].sub("published")
    if table is None:
        raise FarthingError(f"{id}: no published parameter count")
    total = table.whole("total")
    if total is None:
        table.fail(None, "'total' is missing")
    counts = Published(
        total=total,
        active=table.whole("active"),
        exact=bool(table.flag("exact")),
        active_of=table.choice("active_of", ("all", "head", "layers")) or "all",
        source=_source(table, id),
    )
    table.finish()
    return counts


def precision(name: str) -> str:
    """The number format of the weights as published under `name`: one of `PRECISIONS`.

    A format in the name ("nvidia/…-NVFP4") says so; else the model's own checkpoint does (bf16 where it is silent).
    """
    config = _config(name)
    if config is not None:
        return checkpoint_precision(config) or "bf16"
    id = _id(name)
    tokens = _key(name).split("-")
    said = next((number_format for token in reversed(tokens) if (number_format := _FORMATS.get(token))), None)
    return said or _library().tables[id].choice("weights", PRECISIONS) or "bf16"


def _source(table: Table, id: str) -> Source:
    source = read_source(table, _library().sources)
    return msgspec.structs.replace(source, where=source.where.replace("{id}", id))


@lru_cache
def _library() -> _Library:
    """The tables of the data file by id; shapes are built when they are asked for."""
    document = Document((files("farthing") / "data/serving/models.toml").read_text("utf-8"), "models.toml")
    root = document.table()
    sources = read_sources(root)
    tables: dict[str, Table] = {}
    by_key: dict[str, str] = {}
    for table in root.subs("model"):
        id = table.needed_text("id")
        tables[id] = table
        for name in (id, *table.texts("aliases")):
            for key in dict.fromkeys((name.lower(), _key(name))):
                if by_key.setdefault(key, id) != id:
                    table.fail(None, f"{name!r} is also a name of {by_key[key]}")
    root.finish()
    return _Library(tables, sources, by_key)


@lru_cache
def _shape(id: str) -> ModelShape:
    table = _library().tables[id]
    config = table.sub("config")
    if config is None:
        table.fail(None, "'config' is missing")
    shape = shape_of_values(config.values, id, f"models.toml: {id}")
    title, aliases = table.needed_text("title"), table.texts("aliases")
    table.needed_text("source")
    towers = table.whole("towers") or 0
    assert "published" in table and table.choice("weights", PRECISIONS) != ""
    table.finish()
    return msgspec.structs.replace(shape, title=title, aliases=aliases, other_parameters=towers)


def _key(name: str) -> str:
    """A name without its organisation and with "p" for a point undone: "…/models/llama-v3p1-8b" → "llama-3.1-8b"."""
    last = name.lower().rsplit("/", 1)[-1].split(":", 1)[0].replace("_", "-").strip()
    return re.sub(r"\bv?(\d+)p(\d+)\b", r"\1.\2", last)


def _id(name: str) -> str:
    """The id of the model called `name`."""
    by_key = _library().by_key
    key = _key(name)
    if found := by_key.get(name.lower().strip()) or by_key.get(key):
        return found
    while (bare := _FINISH.sub("", key)) != key:
        key = bare
        if found := by_key.get(key):
            return found
    near = difflib.get_close_matches(key, by_key, 8, 0.5)
    ids = list(dict.fromkeys(by_key[one] for one in near))[:4]
    hint = f"nearest: {', '.join(ids)}; or " if ids else ""
    raise FarthingError(f"no model {name!r} in the library ({hint}give the path of its config.json)")
