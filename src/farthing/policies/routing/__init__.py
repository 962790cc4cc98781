"""Routing policies: where each attempt at a request goes. Live in the gateway, offline in replay, the same code.

Every policy is pure: the same request in the same context gives the same decision, bit for bit.
"""

from farthing.policies.routing.chain import Chain
from farthing.policies.routing.log import read_log, recompute
from farthing.policies.routing.read import read_chain
from farthing.policies.routing.values import Ask, Context, Decision, Draw, Failure, model_of, upstream_of

__all__ = [
    "Ask",
    "Chain",
    "Context",
    "Decision",
    "Draw",
    "Failure",
    "model_of",
    "read_chain",
    "read_log",
    "recompute",
    "upstream_of",
]
