"""What the serving model's errors are on rows that it was not fitted on: the report, and the one we carry."""

import tomllib
from functools import cache
from importlib import resources
from statistics import median

import msgspec

SPLITS = ("random", "model", "device", "engine")


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute errors as shares of the measured value; `coverage` of the 80 % interval, with its ends as factors."""

    median: float
    p90: float
    coverage: float
    low: float
    high: float


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The errors on one held-out part: medians as shares of the measured value."""

    name: str
    rows: int
    tpot_median: float
    ttft_median: float
    throughput_median: float


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """The errors of one way to hold rows out: of TPOT, TTFT and throughput; `part`: each part held out."""

    name: str
    rows: int
    tpot: Errors
    ttft: Errors
    throughput: Errors
    part: tuple[Part, ...] = ()

    def of(self, what: str) -> Errors:
        """The errors of "tpot", "ttft" or "throughput"."""
        return {"tpot": self.tpot, "ttft": self.ttft, "throughput": self.throughput}[what]


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """The report. `group`: the random split's errors by engine, device, model and format of weights."""

    rows: int
    left_out: dict[str, int]
    split: tuple[Split, ...]
    group: tuple[Part, ...]

    @property
    def group_median(self) -> float:
        """The median over groups of each group's median TPOT error."""
        return median(part.tpot_median for part in self.group)

    def named(self, name: str) -> Split:
        """The split called `name`: "random", "model", "device", "engine"."""
        return next(one for one in self.split if one.name == name)


@cache
def packaged() -> Validation:
    """The validation of the fit that Farthing carries, written with it."""
    file = resources.files("farthing") / "data" / "serving" / "validation.toml"
    return msgspec.convert(tomllib.loads(file.read_text("utf-8")), Validation)
