"""What measured points leave beyond the calibration's smooth factors, followed near them, forgotten away from them.

A Gaussian process on the logarithm of measured / said, with an exponential covariance: its mean is nearly linear
between two measured concurrencies of the same lengths, and falls to nothing where nothing like it was measured
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.25 and 4.18 with exponent 1).
`fitting.follow` makes the knots.
"""

import math
from collections.abc import Sequence

import msgspec

_OCTAVES = {"concurrency": 1.5, "input": 0.7, "output": 1.0}
"""Over how many doublings of each the correlation falls to 1/e (assumed: points sweep concurrency at fixed lengths)."""
_OTHER_LAYOUT = 1.0  # another layout than the measured one correlates by 1/e less (assumed)


class Knot(msgspec.Struct, frozen=True, kw_only=True):
    """A measured load, `concurrency` requests in a replica, and the factors that it brings to TPOT and TTFT there.

    They are weights, and not measured / said: what the knots around bring comes on top.
    """

    layout: str
    concurrency: float
    input: float
    output: float
    tpot: float = 1.0
    ttft: float = 1.0

    def near(self, layout: str, concurrency: float, input: float, output: float) -> float:
        """How much a load is like this one: 1 the same, towards 0 the further."""
        far = 0.0 if layout == self.layout else _OTHER_LAYOUT
        for name, asked in (("concurrency", concurrency), ("input", input), ("output", output)):
            far += abs(math.log2(max(asked, 1.0) / max(getattr(self, name), 1.0))) / _OCTAVES[name]
        return math.exp(-far)


def followed(
    knots: Sequence[Knot], layout: str, concurrency: float, input: float, output: float
) -> tuple[float, float]:
    """The factors on TPOT and TTFT that `knots` add under a load."""
    tpot = ttft = 0.0
    for knot in knots:
        near = knot.near(layout, concurrency, input, output)
        tpot += near * math.log(knot.tpot)
        ttft += near * math.log(knot.ttft)
    return math.exp(tpot), math.exp(ttft)
