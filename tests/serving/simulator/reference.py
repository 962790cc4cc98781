"""The simulator's rules once more, as naively as can be: every step, every request, every block.

An independent oracle: the scheduler is written as vLLM's loop over running and waiting requests, blocks
have identities, contents and a free queue, and nothing is skipped, summed or counted in classes.
"""

from math import inf, nan


class Pool:
    def __init__(self, total, caches):
        self.free = list(range(total))  # least recently used first
        self.holders = [0] * total
        self.content = [None] * total
        self.where = {}
        self.caches = caches

    def take(self):
        block = self.free.pop(0)
        if self.content[block] is not None:
            del self.where[self.content[block]]
            self.content[block] = None
        self.holders[block] = 1
        return block

    def remember(self, block, content):
        if self.caches and self.content[block] is None and content not in self.where:
            self.content[block] = content
            self.where[content] = block

    def touch(self, block):
        if not self.holders[block]:
            self.free.remove(block)
        self.holders[block] += 1

    def give_back(self, blocks):
        for block in reversed(blocks):
            self.holders[block] -= 1
            if not self.holders[block]:
                self.free.append(block)


class Request:
    def __init__(self, number, rank, arrival, prompt, output, chain, given):
        self.number, self.rank, self.arrival, self.prompt, self.output = number, rank, arrival, prompt, output
        self.given = given
        self.labels = [(piece, k) for piece, tokens in chain for k in range(tokens)][:prompt]
        self.known = prompt  # tokens that exist
        self.computed = 0  # of them stored
        self.blocks = []
        self.start = self.first = self.finish = nan
        self.preemptions = self.cached = 0
        self.replica = -1

    def content(self, block, size):
        last = (block + 1) * size - 1
        return self.labels[last] if last < len(self.labels) else ("own", self.number, last)


class Engine:
    def __init__(self, model, size, caches, ranked, lookahead):
        self.lookahead = lookahead
        self.leaving = []
        self.began = inf
        self.model, self.size, self.ranked = model, size, ranked
        self.total = model.kv_tokens // size
        self.pool = Pool(self.total, caches)
        self.running, self.waiting = [], []
        self.end = inf
        self.steps = 0
        self.outstanding = 0
        self.busy = self.energy = 0.0
        self.computed = 0

    def allocate(self, request, until):
        """Blocks for the first `until` tokens; False if there are not so many."""
        more = -(-until // self.size) - len(request.blocks)
        if more > len(self.pool.free):
            return False
        for _ in range(max(0, more)):
            request.blocks.append(self.pool.take())
        for place in range(until // self.size):
            self.pool.remember(request.blocks[place], request.content(place, self.size))
        return True

    def plan(self, now):
        if not self.running:  # nothing is under way: the pipeline is empty
            self.leave()
            self.began = inf
        budget = self.model.token_budget
        self.batch = []  # (request, tokens)
        preempted = False
        place = 0
        while place < len(self.running):
            request = self.running[place]
            while True:
                tokens = min(request.known - request.computed, budget)
                if self.allocate(request, request.computed + tokens):
                    self.batch.append((request, tokens))
                    budget -= tokens
                    place += 1
                    break
                victim = max(self.running, key=lambda r: r.rank) if self.ranked else self.running[-1]
                at = self.running.index(victim)
                del self.running[at]
                for entry in self.batch:
                    if entry[0] is victim:
                        self.batch.remove(entry)
                        budget += entry[1]
                        place -= 1
                        break
                self.pool.give_back(victim.blocks)
                victim.blocks, victim.computed, victim.decoding = [], 0, False
                victim.preemptions += 1
                self.waiting.append(victim)
                preempted = True
                if victim is request:
                    break
        self.waiting.sort(key=lambda r: r.rank)
        limit = min(self.model.max_sequences, self.model.token_budget)
        while self.waiting and not preempted and budget > 0 and len(self.running) + len(self.leaving) < limit:
            request = self.waiting[0]
            if self.lookahead and request.arrival > self.began:
                break
            hits = []
            if self.pool.caches:
                for block in range(request.known // self.size):
                    found = self.pool.where.get(request.content(block, self.size))
                    if found is None:
                        break
                    hits.append(found)
            idle = sum(1 for block in hits if not self.pool.holders[block])
            if -(-request.known // self.size) - len(hits) + idle > len(self.pool.free):
                break
            self.waiting.pop(0)
            for block in hits:
                self.pool.touch(block)
            request.blocks = hits
            request.computed = min(len(hits), (request.known - 1) // self.size) * self.size
            if request.start != request.start:
                request.start = now
                if not self.pool.caches:
                    request.computed = min(request.given, request.known - 1)
                request.cached = request.computed
            tokens = min(request.known - request.computed, budget)
            assert self.allocate(request, request.computed + tokens)
            self.running.append(request)
            self.batch.append((request, tokens))
            budget -= tokens
        decodes = [(r, n) for r, n in self.batch if self.is_decode(r)]
        prompts = [(r, n) for r, n in self.batch if not self.is_decode(r)]
        pairs = sum(sum(range(r.computed, r.computed + n)) for r, n in prompts)
        tokens = sum(n for _, n in prompts)
        took = self.model.step_s(tokens, pairs, len(decodes), sum(r.computed for r, _ in decodes))
        self.computed += tokens
        self.busy += took
        self.energy += took * self.model.watts(tokens, len(decodes))
        self.now_began = now
        self.end = now + took

    def leave(self):
        for request in self.leaving:
            self.pool.give_back(request.blocks)
        self.leaving = []

    def is_decode(self, request):
        return request.computed == request.known - 1 and request.decoding

    def commit(self):
        self.steps += 1
        self.leave()
        self.began = self.now_began
        ended = []
        for request, tokens in self.batch:
            request.computed += tokens
            if request.computed < request.known:
                request.decoding = False
                continue
            request.known += 1
            request.decoding = True
            if request.first != request.first:
                request.first = self.end
            if request.known - request.prompt >= request.output:
                request.finish = self.end
                self.running.remove(request)
                self.leaving.append(request)
                self.outstanding -= 1
                ended.append(request)
        if not self.lookahead:
            self.leave()
        self.end = inf
        return ended


def run(requests, models, *, router="least", block_size=16, prefix_cache=False, closed_loop=None, lookahead=False):
    """The Request objects and engines after `requests`: dicts (arrival, prompt, output, priority, chain, given)."""
    order = sorted(range(len(requests)), key=lambda i: (requests[i]["priority"], i))
    rank = {number: place for place, number in enumerate(order)}
    made = [
        Request(i, rank[i], r["arrival"], r["prompt"], r["output"], r["chain"], r["given"])
        for i, r in enumerate(requests)
    ]
    for request in made:
        request.decoding = False
    ranked = len({r["priority"] for r in requests}) > 1
    engines = [Engine(model, block_size, prefix_cache, ranked, lookahead) for model in models]
    coming = list(made)
    turn = 0
    due = 0
    if closed_loop:
        due = closed_loop
    now = 0.0
    while True:
        while coming and (due if closed_loop else coming[0].arrival <= now):
            request = coming.pop(0)
            if closed_loop:
                due -= 1
                request.arrival = now
            if router == "round-robin":
                engine = engines[turn % len(engines)]
                turn += 1
            else:
                engine = min(engines, key=lambda e: e.outstanding)
            request.replica = engines.index(engine)
            if -(-(request.prompt + max(request.output, 1) - 1) // block_size) > engine.total:
                due += 1
                continue
            engine.outstanding += 1
            engine.waiting.append(request)
            engine.waiting.sort(key=lambda r: r.rank)
        if not closed_loop:  # what ends now, ends after what arrives now was sent somewhere
            for engine in engines:
                if engine.end == now:
                    engine.commit()
        for engine in engines:
            if engine.end == inf and (engine.waiting or engine.running):
                engine.plan(now)
        now = min(engine.end for engine in engines)
        if coming and not closed_loop:
            now = min(now, coming[0].arrival)
        if now == inf:
            return made, engines
        if closed_loop:
            for engine in engines:
                if engine.end == now:
                    due += len(engine.commit())
