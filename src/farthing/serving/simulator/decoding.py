"""The sequences that decode on a replica, counted so that many steps can be taken at once.

Each sequence stores one token a step, so what matters of it never changes while it decodes: the step with
which it ends, and the step (modulo the block size) in which it needs another block.
"""

from heapq import heappop, heappush


class Decoding:
    """`sequences` that decode, with `context` tokens stored; `tick` counts the replica's steps.

    A sequence is known by its key: tick of its last token × `count` + request, for requests 0 … `count` - 1.
    `keys` (shared with the replica) has the key of each running request; others in the heap are out of date.
    """

    __slots__ = ("_count", "_crossing", "_due", "_keys", "_size", "context", "sequences", "tick")

    def __init__(self, block_size: int, count: int, keys: dict[int, int]) -> None:
        self.sequences = 0
        self.context = 0
        self.tick = 0
        self._size = block_size
        self._count = count
        self._keys = keys
        self._crossing = [0] * block_size  # sequences that take a block in the step of tick = i (mod block size)
        self._due: list[int] = []  # a heap of keys

    def begin(self, request: int, stored: int, left: int) -> None:
        """`request` has `stored` tokens stored, and makes `left` more, one a step."""
        key = (self.tick + left) * self._count + request
        self._keys[request] = key
        heappush(self._due, key)
        self.sequences += 1
        self.context += stored
        self._crossing[(self.tick - stored) % self._size] += 1

    def steps_left(self, key: int) -> int:
        """Steps until the sequence of `key` makes its last token."""
        return key // self._count - self.tick

    def stop(self, stored: int) -> None:
        """A sequence that has `stored` tokens stored decodes no more."""
        self.sequences -= 1
        self.context -= stored
        self._crossing[(self.tick - stored) % self._size] -= 1

    def advance(self, steps: int) -> list[int]:
        """`steps` steps are done: the requests that made their last token with them (the caller stops them)."""
        self.tick += steps
        self.context += steps * self.sequences
        due, keys, count, ended = self._due, self._keys, self._count, []
        limit = (self.tick + 1) * count
        while due and due[0] < limit:
            key = heappop(due)
            request = key % count
            if keys.get(request) == key:
                ended.append(request)
        return ended

    def until_due(self) -> int:
        """Steps until the first of the sequences makes its last token."""
        due, keys, count = self._due, self._keys, self._count
        while keys.get(due[0] % count) != due[0]:  # it was preempted since
            heappop(due)
        return due[0] // count - self.tick

    def next_blocks(self) -> int:
        """Blocks that the next step takes."""
        return self._crossing[self.tick % self._size]

    def blocks(self, steps: int) -> int:
        """Blocks that the next `steps` steps take: in as many steps as a block has tokens, each sequence one."""
        cycles, rest = divmod(steps, self._size)
        place = self.tick % self._size
        past = place + rest
        crossing = self._crossing
        more = sum(crossing[place:past]) + (sum(crossing[: past - self._size]) if past > self._size else 0)
        return cycles * self.sequences + more

    def room(self, steps: int, free: int) -> int:
        """How many of the next `steps` steps find their blocks among `free`."""
        size, sequences = self._size, self.sequences
        if sequences * (steps // size + 1) <= free:
            return steps
        cycles = min(steps // size, free // sequences)
        free -= cycles * sequences
        done = cycles * size
        crossing, place = self._crossing, self.tick % size
        while done < steps and crossing[place] <= free:
            free -= crossing[place]
            done += 1
            place = (place + 1) % size
        return done
