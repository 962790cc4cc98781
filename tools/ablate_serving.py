"""What each term of the serving model is worth: `python tools/ablate_serving.py DATA…`.

Takes one term away, fits the rest anew, and prints the median error of TPOT by the formulas alone (in sample).
"""

import sys
from collections.abc import Callable

import msgspec
import numpy as np

from farthing.serving.coefficients import packaged
from farthing.serving.fitting.fit import fit_values, group_weights
from farthing.serving.fitting.rows import rows_of
from farthing.serving.fitting.table import predict, table_of
from farthing.serving.measured.read import read_measurements
from farthing.serving.physics import Terms


def _without(*names: str) -> Callable[[Terms], Terms]:
    return lambda terms: msgspec.structs.replace(terms, **{name: getattr(terms, name) * 0.0 for name in names})


def _active(terms: Terms) -> Terms:
    """The weights that one token passes, however many tokens there are: what "active parameters" suggests."""
    one = terms.experts * (1.0 - terms.untouched)
    return msgspec.structs.replace(terms, untouched=terms.untouched * 0.0, experts=one)


CHANGES: dict[str, Callable[[Terms], Terms] | None] = {
    "all terms": None,
    "active parameters instead of distinct experts": _active,
    "no interference of other prompts": _without("interference"),
    "no fixed costs": _without("overhead", "rank_token"),
    "no reads of the cache": _without("kv_read", "kv_window", "kv_flop", "state"),
    "no communication": _without("comm_step", "comm_token"),
}


def main(paths: list[str]) -> None:
    """Print a line for each term."""
    fit = packaged()
    rows, _ = rows_of(read_measurements(paths)[0], fit)
    table, weights = table_of(rows, fit), group_weights(rows)
    for name, change in CHANGES.items():
        tpot, _ = predict(table, fit, fit_values(table, weights, fit, change=change), change)
        print(f"{np.median(np.abs(tpot / table.tpot_s - 1)):7.1%}  {name}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
