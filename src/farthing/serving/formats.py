"""Number formats of weights and caches: their bytes, the arithmetic they run in; what an engine keeps of the memory."""

from functools import cache

import msgspec

from farthing.problems import FarthingError
from farthing.rates.toml_sources import read_source
from farthing.serving.tables import open_table

HEAD_BYTES = 2.0  # embeddings and output heads stay in 16 bit in every checkpoint that the fit has seen
STATE_BYTES = 4.0  # the states of linear attention are kept in 32 bit (`mamba_ssm_dtype`)


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A number format of weights. `expert_bytes`: per weight with its scales; `compute`: the format of the arithmetic.

    `moe_attention`: the format in which checkpoints of this format with experts keep the weights that every
    token passes (attention, shared experts); "" where all weights have the one format.
    """

    name: str
    expert_bytes: float
    compute: str
    moe_attention: str = ""

    def dense_format(self, experts: bool) -> "Format":
        """The format of the weights that every token passes."""
        return find(self.moe_attention) if experts and self.moe_attention else self

    def dense_bytes(self, experts: bool) -> float:
        """Bytes per weight of those."""
        return self.dense_format(experts).expert_bytes


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """How engines divide a device's memory. `activations_per_hidden`: 16-bit values per token and hidden unit."""

    utilisation: float
    fixed_bytes: float
    activations_per_hidden: float


@cache
def _tables() -> tuple[dict[str, Format], dict[str, float], Memory]:
    table, sources = open_table("formats")
    found = {}
    for entry in table.subs("weights"):
        read_source(entry, sources)
        name = entry.needed_text("name")
        found[name] = Format(
            name=name,
            expert_bytes=float(entry.number("bytes", positive=True) or 0),
            compute=entry.needed_text("compute"),
            moe_attention=entry.text("moe_attention") or "",
        )
        entry.finish()
    caches = {}
    for entry in table.subs("kv"):
        read_source(entry, sources)
        caches[entry.needed_text("name")] = float(entry.number("bytes", positive=True) or 0)
        entry.finish()
    rules = table.sub("memory")
    if rules is None:
        table.fail(None, "'memory' is missing")
    read_source(rules, sources)
    memory_ = Memory(
        utilisation=float(rules.number("utilisation", positive=True) or 0),
        fixed_bytes=float(rules.number("fixed_gb", positive=True) or 0) * 1e9,
        activations_per_hidden=float(rules.number("activations_per_hidden", positive=True) or 0),
    )
    rules.finish()
    table.finish()
    return found, caches, memory_


def names() -> tuple[str, ...]:
    """The number formats of weights."""
    return tuple(_tables()[0])


def find(name: str) -> Format:
    """The format called `name`. Raises `FarthingError` naming those there are."""
    found = _tables()[0].get(name)
    if found is None:
        raise FarthingError(f"unknown format of weights {name!r}; one of {', '.join(names())}")
    return found


def kv_bytes(name: str) -> float:
    """Bytes of one value of a cache in the format `name`. Raises `FarthingError`."""
    found = _tables()[1].get(name)
    if found is None:
        raise FarthingError(f"unknown format of the KV cache {name!r}; one of {', '.join(_tables()[1])}")
    return found


def memory() -> Memory:
    """How engines divide a device's memory."""
    return _tables()[2]
