"""The draw of a split: a number that any machine computes alike from a salt and a unit, with no random source.

u = H(salt, unit) / 2^64, where H is BLAKE2b (RFC 7693) with a digest of 8 bytes, read as a big-endian number, of
the UTF-8 bytes of the salt, one zero byte, and those of the unit. Uniform over units, independent between salts.
"""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from hashlib import blake2b

SPAN = 1 << 64


def draw(salt: str, unit: str) -> int:
    """The number of `unit` under `salt`, in [0, 2^64). Half characters, which UTF-8 cannot hold, count as "?"."""
    text = f"{salt}\0{unit}".encode(errors="replace")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def thresholds(probabilities: Sequence[Fraction]) -> list[int]:
    """Where each arm ends, as a number in (0, 2^64]: arm i is drawn where u / 2^64 is below the sum of the first i + 1.

    Rounded up, so that `draw(…) < threshold` holds exactly where the fraction does.
    """
    made, whole = [], Fraction(0)
    for probability in probabilities:
        whole += probability
        made.append(-(-whole.numerator * SPAN // whole.denominator))
    return made


def arm_of(number: int, ends: Sequence[int]) -> int:
    """Which arm `number` falls into. The last threshold is 2^64, above every number."""
    return bisect_right(ends, number)
