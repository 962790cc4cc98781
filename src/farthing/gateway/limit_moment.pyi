"""What `limit_moment.pyx` offers."""

from typing import Final, final

SHIFT: Final[int]
REQUESTS: Final[int]
MOST_REQUESTS: Final[int]
MOST_TOKENS: Final[int]
CROWDED: Final[int]

@final
class Moment: ...
