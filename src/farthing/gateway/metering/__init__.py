"""Metering of live requests and answers: what was asked, what was served, without keeping or changing a byte of it.

`read_request` before a request is sent, `with_stream_usage` where a stream would not state its usage, then
`read_response` for a whole answer or a `StreamMeter` for a stream. No input and no output, no exceptions for bad
bytes: what cannot be read is said in the value that comes back.
"""

from farthing.gateway.metering.ask_usage import with_stream_usage
from farthing.gateway.metering.assumptions import must_ask
from farthing.gateway.metering.request import read_request
from farthing.gateway.metering.response import is_event_stream, read_response
from farthing.gateway.metering.stream import StreamMeter
from farthing.gateway.metering.surfaces import SURFACES, Surface
from farthing.gateway.metering.values import Asked, Served

__all__ = [
    "SURFACES",
    "Asked",
    "Served",
    "StreamMeter",
    "Surface",
    "is_event_stream",
    "must_ask",
    "read_request",
    "read_response",
    "with_stream_usage",
]
