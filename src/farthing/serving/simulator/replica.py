"""One replica of an engine with continuous batching, stepped from event to event.

The rules are those of vLLM's V1 scheduler:

* A step decodes one token for every running sequence that has its prompt, then spends what is left of
  the token budget on prompts: the one that is under way first, then waiting ones in order, each in as
  large a chunk as fits (so at most one prompt is ever cut).
* A waiting request is admitted while fewer than `max_sequences` run and the blocks for its whole prompt
  are free. The first that does not fit stops the rest. After a preemption none is admitted in that step.
* When a decode (or a chunk) finds no block, the request that runs with the lowest rank (the last of its
  priority to arrive) is preempted: it gives its blocks back, waits at its rank (in front of those that
  never ran), and computes its prompt and the tokens it had made again.
* A token's keys and values are stored in the step that computes it; the last token made is not stored.

With `lookahead` (vLLM's asynchronous scheduling) a step is composed when the one before it begins: it
cannot have what arrives during that one, nor the places and blocks of what ends with it.

While neither the batch nor the queue's head can change, steps are taken together: `steptimes` has their
time, `decoding` their blocks.
"""

from heapq import heappop, heappush
from math import inf

from farthing.problems import FarthingError
from farthing.serving.simulator.blocks import Blocks, CachedBlocks
from farthing.serving.simulator.decoding import Decoding
from farthing.serving.simulator.state import State
from farthing.serving.simulator.steptimes import DecodeTimes
from farthing.serving.steps import StepModel


class Replica:
    """One replica. Requests are numbers, by rank: of two, the lower one goes first.

    Call `run_until` and `deliver` in the order of time. While `planned`, the next steps are decided,
    and `end` is when they are over; `commit` makes them happen.
    """

    __slots__ = (
        "_completing", "_decoding", "_done", "_found", "_held", "_last_began", "_leaving", "_partial",
        "_running", "_steps", "_taken", "_times", "_watts", "block_size", "blocks", "busy_s",
        "computed_tokens", "end", "energy_j", "finished", "kv_block_s", "lookahead", "max_sequences",
        "model", "number", "outstanding", "peak_blocks", "planned", "state", "time", "token_budget",
        "waiting",
    )  # fmt: skip

    def __init__(
        self, number: int, model: StepModel, state: State, *, block_size: int, caches: bool, lookahead: bool = False
    ) -> None:
        self.number = number
        self.lookahead = lookahead
        self.model = model
        self.state = state
        self.block_size = block_size
        total = model.kv_tokens // block_size
        self.blocks = CachedBlocks(total) if caches else Blocks(total)
        self.token_budget = model.token_budget
        self.max_sequences = min(model.max_sequences, model.token_budget)
        self.time = 0.0
        self.planned = False
        self.end = inf
        self.outstanding = 0
        self.waiting: list[int] = []  # a heap
        self.finished: list[int] | None = None  # a list: those that end are put there
        self._times = DecodeTimes(model)
        self._running: dict[int, int] = {}  # request -> its key in `decoding`, -1 while its prompt is computed
        self._decoding = Decoding(block_size, state.count, self._running)
        self._partial = -1  # the request whose prompt is under way
        self._done = 0  # tokens of it that are computed
        self._found = 0  # blocks of it that were found in the cache
        self._held = 0  # blocks that it holds
        self._completing: list[int] = []  # requests whose prompts the planned step completes
        self._last_began = inf  # when the last step began; inf: none is under way
        self._leaving: list[tuple[int, int]] = []  # (request, tokens stored) that ended with the last step
        self._steps = 0  # planned
        self._taken = False  # whether the planned step has its blocks already
        self._watts = 0.0
        self.busy_s = 0.0
        self.energy_j = 0.0  # of the busy time
        self.kv_block_s = 0.0  # blocks held, over time
        self.peak_blocks = 0
        self.computed_tokens = 0  # of prompts

    # From outside

    def deliver(self, request: int, at_s: float) -> None:
        """`request` arrives at `at_s`, when everything that ended before has been committed."""
        state = self.state
        state.replica[request] = self.number
        most = state.prompt[request] + max(state.output[request], 1) - 1
        if -(-most // self.block_size) > self.blocks.total:  # it could never end
            state.ended()
            if self.finished is not None:
                self.finished.append(request)
            return
        self.outstanding += 1
        if not self.planned:
            if not self.waiting and not self._running and at_s > self.time:
                self.time = at_s
                self._last_began = inf
        elif (
            self._steps > 1
            and (not self.waiting or request < self.waiting[0])
            and len(self._running) < self.max_sequences
        ):
            # It may be admitted at the first step that begins when it is there: the plan ends with the one before.
            steps = self._times.steps_until(
                self._decoding.sequences, self._decoding.context, self._steps, at_s - self.time
            )
            steps += self.lookahead
            if steps < self._steps:
                self._steps = steps
                self.end = self.time + self._times.total_s(self._decoding.sequences, self._decoding.context, steps)
        heappush(self.waiting, request)

    def run_until(self, at_s: float) -> None:
        """Take all steps that end before `at_s`, and plan those that begin before it."""
        while True:
            if self.planned:
                if self.end >= at_s:
                    return
                self.commit()
            elif self.time >= at_s or not (self.waiting or self._running):
                return
            else:
                self.plan()

    @property
    def tick(self) -> int:
        """Steps taken."""
        return self._decoding.tick

    def cached_blocks(self, request: int) -> int:
        """Blocks of `request`'s prompt whose content is here now."""
        return self.blocks.found(request, self.state.chain(request))[0]

    # What the next step, or steps, will do

    def plan(self) -> None:
        """Decide what is done from now on, until something may change. There must be something to do."""
        blocks, decoding = self.blocks, self._decoding
        if self._leaving and not self._running:
            self._release_leaving()
            self._last_began = inf
        preempted = False
        if self._partial >= 0 or decoding.next_blocks() > blocks.total - blocks.used:
            preempted = self._make_room()
        sequences, context, need = decoding.sequences, decoding.context, decoding.next_blocks()
        free = blocks.total - blocks.used
        self.planned = True
        head = self._head() if self.waiting and not preempted else -1
        if self._partial >= 0 or (head >= 0 and self._fits(head, free - need)):
            if need:
                blocks.take(need)
            tokens, pairs = self._schedule_prompts(admit=not preempted)
            took = self.model.step_s(tokens, pairs, sequences, context)
            if not 0 < took < inf:
                raise FarthingError(f"the step model gives {took!r} s for a step with {tokens} tokens of prompts")
            self._watts = self.model.watts(tokens, sequences)
            self._steps = 1
            self._taken = True
            self.end = self.time + took
            return
        steps = 1 if preempted else self._steps_alike(free)
        self._steps = steps
        self._taken = False
        self._watts = self._times.watts(sequences)
        self.end = self.time + self._times.total_s(sequences, context, steps)

    def _head(self) -> int:
        """The next waiting request, if there is a place for it and it was there in time; else -1."""
        if len(self._running) + len(self._leaving) >= self.max_sequences:
            return -1
        request = self.waiting[0]
        return request if not self.lookahead or self.state.arrival_s[request] <= self._last_began else -1

    def _steps_alike(self, free: int) -> int:
        """How many steps of decoding can be taken as one."""
        due = self._decoding.until_due()
        steps = self._decoding.room(due, free)
        if self.lookahead and self.waiting and len(self._running) < self.max_sequences:
            if self._leaving or self.state.arrival_s[self.waiting[0]] > self._last_began:
                return 1  # the next step may have what this one could not
        elif self._leaving and steps < due:
            return 1
        return steps

    def _fits(self, request: int, free: int) -> bool:
        """Whether all blocks of `request`'s prompt can be held: those that others hold already cost nothing."""
        need = -(-self.state.need[request] // self.block_size)
        if self.blocks.caches and need > free:
            found, idle = self.blocks.found(request, self.state.chain(request))
            need -= found - idle
        return need <= free

    def _schedule_prompts(self, admit: bool) -> tuple[int, int]:
        """Give the step's remaining tokens to prompts: (tokens, pairs of a token and one before it)."""
        state, blocks = self.state, self.blocks
        budget = self.token_budget - self._decoding.sequences
        tokens = pairs = 0
        if self._partial >= 0:
            request, done = self._partial, self._done
            tokens = min(state.need[request] - done, budget)
            self._take_chunk(done + tokens)
            pairs = tokens * done + tokens * (tokens - 1) // 2
            self._advance(request, done + tokens)
        waiting, running = self.waiting, self._running
        while admit and waiting and tokens < budget:
            request = self._head()
            if request < 0 or not self._fits(request, blocks.total - blocks.used):
                break
            heappop(waiting)
            running[request] = -1
            need = state.need[request]
            done = self._admit(request, need)
            chunk = min(need - done, budget - tokens)
            self._take_chunk(done + chunk)
            tokens += chunk
            pairs += chunk * done + chunk * (chunk - 1) // 2
            self._advance(request, done + chunk)
        self.computed_tokens += tokens
        return tokens, pairs

    def _admit(self, request: int, need: int) -> int:
        """`request` begins, or begins again: the tokens of it that need not be computed."""
        state, found, done = self.state, 0, 0
        if self.blocks.caches:
            chain = state.chain(request)
            found = self.blocks.found(request, chain)[0]
            self.blocks.hold(request, chain, found)
            done = min(found, (need - 1) // self.block_size) * self.block_size  # the last token is always computed
        first = state.start_s[request] != state.start_s[request]  # nan: it never ran
        if first:
            state.start_s[request] = self.time
            if state.given is not None:
                done = min(max(done, state.given[request]), need - 1)
            state.cached[request] = done
        self._found = self._held = found
        return done

    def _take_chunk(self, done: int) -> None:
        """Take the blocks that the prompt under way needs for its first `done` tokens."""
        more = -(-done // self.block_size) - self._held
        if more > 0:
            self.blocks.take(more)
            self._held += more

    def _advance(self, request: int, done: int) -> None:
        if done == self.state.need[request]:
            self._completing.append(request)
            self._partial = -1
        else:
            self._partial = request
            self._done = done

    def _make_room(self) -> bool:
        """Preempt until the step has its blocks; whether anyone had to go."""
        blocks, gone = self.blocks, False
        while True:
            need = self._decoding.next_blocks()
            if self._partial >= 0:
                budget = self.token_budget - self._decoding.sequences
                chunk = min(self.state.need[self._partial] - self._done, budget)
                need += max(0, -(-(self._done + chunk) // self.block_size) - self._held)
            if blocks.used + need <= blocks.total:
                return gone
            self._preempt(max(self._running) if self.state.ranked else next(reversed(self._running)))
            gone = True

    def _preempt(self, request: int) -> None:
        """`request` gives back its blocks, and waits to compute all its tokens again."""
        state, size = self.state, self.block_size
        key = self._running.pop(request)
        if key < 0:
            blocks, full = self._held, max(self._done // size, self._found)
            self._partial = -1
        else:
            stored = self._stop(request, key)
            state.need[request] = stored + 1  # the last token that it made was not stored
            blocks, full = -(-stored // size), stored // size
        self.blocks.release(request, state.chain(request), blocks, full, True)
        heappush(self.waiting, request)
        state.preempted[request] += 1

    # What becomes of it

    def commit(self) -> None:
        """The planned steps happen; requests that end with the last of them are done."""
        steps, decoding = self._steps, self._decoding
        took = self.end - self.time
        before = self.blocks.used
        if self.lookahead:
            self._last_began = self.time
            if steps > 1:
                self._last_began += self._times.total_s(decoding.sequences, decoding.context, steps - 1)
        if not self._taken:
            self.blocks.take(decoding.blocks(steps))
        used = self.blocks.used
        if used > self.peak_blocks:
            self.peak_blocks = used
        self.kv_block_s += took * (before + used) / 2
        self.busy_s += took
        self.energy_j += took * self._watts
        self.time = self.end
        self.planned = False
        if self._leaving:
            self._release_leaving()
        for request in decoding.advance(steps):
            self._finish(request, self._stop(request, self._running[request]))
        if self._completing:
            for request in self._completing:
                self._begin_decode(request)
            self._completing.clear()

    def _begin_decode(self, request: int) -> None:
        """The prompt of `request` is computed, and with it the next token."""
        state = self.state
        stored = state.need[request]
        if state.first_s[request] != state.first_s[request]:  # nan
            state.first_s[request] = self.time
        left = state.prompt[request] + state.output[request] - stored - 1  # tokens still to be made
        if left <= 0:
            self._finish(request, stored)
            return
        self._decoding.begin(request, stored, left)

    def _stop(self, request: int, key: int) -> int:
        """`request`, known by `key`, no longer decodes. The tokens that it has stored."""
        state = self.state
        stored = state.prompt[request] + state.output[request] - 1 - self._decoding.steps_left(key)
        self._decoding.stop(stored)
        return stored

    def _finish(self, request: int, stored: int) -> None:
        state = self.state
        del self._running[request]
        self._leaving.append((request, stored))
        if not self.lookahead:
            self._release_leaving()
        state.finish_s[request] = self.time
        self.outstanding -= 1
        if self.finished is not None:
            self.finished.append(request)
        state.ended()

    def _release_leaving(self) -> None:
        size = self.block_size
        for request, stored in self._leaving:
            self.blocks.release(request, self.state.chain(request), -(-stored // size), stored // size, False)
        self._leaving.clear()
