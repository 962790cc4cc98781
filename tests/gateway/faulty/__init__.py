"""An upstream for tests: speaks OpenAI's and Anthropic's protocols, counts what it bills, and misbehaves when told.

In a test: `with Upstream() as upstream: … upstream.url … upstream.records()`, a thread of this process. Where workers
are killed: `UpstreamProcess`, or `python -m tests.gateway.faulty --port 0 --log FILE`, a process of its own.

What it does is said in the request's text, in double brackets: `[[words=20 fault=die at=3]]`, so that it reaches the
upstream through any gateway; or in the model's name (`fault-hang`); or for the next requests by `upstream.next("hang")`
(`POST /_next`). `orders.py` lists the words, `faults.py` the faults.
"""

from tests.gateway.faulty.handle import Upstream, UpstreamProcess
from tests.gateway.faulty.log import Record

__all__ = ["Record", "Upstream", "UpstreamProcess"]
