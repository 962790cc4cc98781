"""What the replicas of one simulation share: the requests, and what became of each."""

from array import array
from collections.abc import Callable, Sequence
from math import nan

from farthing.serving.simulator.blocks import Chain

_REPORTS = 200  # calls of a progress callback in a whole run


class State:
    """Requests as columns, in the order of their rank; results are nan until they happen.

    `need`: tokens to compute before the next token is made (the prompt; after a preemption also what
    had been made). `given`: tokens of the prompt that count as computed when it is first admitted.
    """

    __slots__ = (
        "_next_report", "arrival_s", "cached", "chains", "count", "done", "finish_s", "first_s", "given", "need",
        "output", "preempted", "progress", "prompt", "ranked", "replica", "start_s",
    )  # fmt: skip

    def __init__(
        self,
        arrival_s: Sequence[float],
        prompt: Sequence[int],
        output: Sequence[int],
        *,
        given: Sequence[int] | None = None,
        chains: Sequence[Chain] | None = None,
        ranked: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        count = len(prompt)
        self.count = count
        self.arrival_s = array("d", arrival_s)
        self.prompt = array("q", prompt)
        self.output = array("q", output)
        self.need = array("q", prompt)
        self.given = array("q", given) if given is not None else None
        self.chains = chains
        self.ranked = ranked  # whether ranks differ from the order of arrival
        self.start_s = array("d", [nan]) * count
        self.first_s = array("d", [nan]) * count
        self.finish_s = array("d", [nan]) * count
        self.preempted = array("i", [0]) * count
        self.cached = array("q", [0]) * count
        self.replica = array("i", [-1]) * count
        self.done = 0
        self.progress = progress
        self._next_report = count // _REPORTS + 1 if progress else count + 1

    def chain(self, request: int) -> Chain:
        return self.chains[request] if self.chains is not None else ()

    def ended(self) -> None:
        """One more request is over (or refused): tell who wants to know, now and then."""
        self.done += 1
        if self.done >= self._next_report and self.progress is not None:
            self._next_report = self.done + self.count // _REPORTS + 1
            self.progress(self.done, self.count)
