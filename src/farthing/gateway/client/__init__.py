"""The gateway's HTTP/1.1 client: kept connections to one upstream, on the loop of the worker.

Why our own: a client with threads of its own costs a wake-up across threads for each request and piece of an answer;
this one is a protocol on the loop that serves the request. Most answers are plain, and read in C (head.pyx,
plain_wire.pyx); for others it has the parser that our server uses.
"""

from farthing.gateway.client.errors import Broken, Closing, Fault, NotConnected
from farthing.gateway.client.origin import Origin
from farthing.gateway.client.pool import Pool
from farthing.gateway.client.request import Request
from farthing.gateway.client.response import Response

__all__ = ["Broken", "Closing", "Fault", "NotConnected", "Origin", "Pool", "Request", "Response"]
