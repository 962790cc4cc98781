"""A provider's disclosure of a day: machines, tokens and prices; what follows from them, and whether they agree."""

from fractions import Fraction

import msgspec

from farthing.evidence import Source
from farthing.plans.fleet import MTOK
from farthing.plans.interval import Interval, exactly, propagate
from farthing.plans.margin import TokenCost


class Disclosure(msgspec.Struct, frozen=True, kw_only=True):
    """One day of serving. Tokens are of the day; `input_tokens` include the cached ones.

    `input_tokens_s` (cached ones included) and `output_tokens_s` are of one node that only reads or
    only writes. Prices are dollars per million tokens.
    """

    name: str
    nodes: Fraction
    gpus_per_node: int
    usd_per_gpu_hour: Interval
    hours: Fraction
    input_tokens: Fraction
    cached_tokens: Fraction
    output_tokens: Fraction
    input_tokens_s: Interval
    output_tokens_s: Interval
    input_usd: Fraction
    cached_usd: Fraction
    output_usd: Fraction
    sources: tuple[Source, ...] = ()

    @property
    def cost_usd(self) -> Fraction:
        """Nodes × GPUs × dollars an hour × hours."""
        return self.nodes * self.gpus_per_node * self.usd_per_gpu_hour.mid * self.hours

    @property
    def uncached_tokens(self) -> Fraction:
        return self.input_tokens - self.cached_tokens

    def revenue_usd(self) -> Fraction:
        """All tokens at the stated prices."""
        billed = ((self.uncached_tokens, self.input_usd), (self.cached_tokens, self.cached_usd),
                  (self.output_tokens, self.output_usd))  # fmt: skip
        return sum((tokens * price for tokens, price in billed), Fraction(0)) / MTOK

    def nodes_reading(self) -> Fraction:
        """Nodes that the day's input needs at the stated throughput."""
        return self.input_tokens / (self.input_tokens_s.mid * self.hours * 3600)

    def nodes_writing(self) -> Fraction:
        """Nodes that the day's output needs at the stated throughput."""
        return self.output_tokens / (self.output_tokens_s.mid * self.hours * 3600)

    def cost_per_mtok(self, kind: str) -> Fraction:
        """Dollars per million tokens: the day's cost, split by the nodes that reading and writing need.

        "input" is of every input token, "uncached" charges the cache's misses for all the reading.
        """
        reading, writing = self.nodes_reading(), self.nodes_writing()
        share = writing if kind == "output" else reading
        tokens = {"input": self.input_tokens, "uncached": self.uncached_tokens, "output": self.output_tokens}[kind]
        return self.cost_usd * share / (reading + writing) / tokens * MTOK

    def token_cost(self) -> TokenCost:
        """What tokens cost here. Misses are charged all of the reading; a hit costs nothing then."""
        return TokenCost(
            name=self.name,
            input_usd=propagate(lambda d: d.cost_per_mtok("uncached"), self).interval,
            output_usd=propagate(lambda d: d.cost_per_mtok("output"), self).interval,
            cached_usd=exactly(0),
            sources=self.sources,
        )
