# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Whole answers as nearly all of them are: a common usage, and nothing rare beside it, read in one walk along them.

What does not fit `answer_forms` is for `response` to read; where it fits both say the same (a property test). The rules
how the counts of a common usage contain each other, of `common_usage`, are told again in C (and held equal by another).
"""

from functools import lru_cache

from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcmp

from farthing.gateway.metering.json_form cimport (
    CACHED,
    FINISH,
    FIVE,
    GEO,
    HIT,
    HOUR,
    MADE,
    READ,
    REASONING,
    SERVICE_TIER,
    SPEED,
    TEXTS,
    TIER,
    TOTAL,
    WRITTEN,
    Form,
    Found,
)
from farthing.struct_fields cimport copied, offset_of, put

from farthing.gateway.metering.answer import COST_HEADER, REGION_HEADER, TIER_HEADER
from farthing.gateway.metering.answer_forms import ANTHROPIC, OPENAI
from farthing.gateway.metering.provider_usage import tier_and_region
from farthing.gateway.metering.surfaces import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES
from farthing.gateway.metering.values import Served

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    const void* PyUnicode_DATA(object)


cdef dict _openai(Found* found):
    """`common_usage.openai_meters` of the counts that were found; None where they do not fit each other."""
    cdef long long read = found.counts[READ], made = found.counts[MADE]
    cdef long long cached = found.counts[CACHED] or found.counts[HIT], reasoning = found.counts[REASONING]
    cdef dict meters
    if found.counts[TOTAL] > read + made or cached > read or reasoning > made:
        return None
    meters = {}
    if read > cached:
        meters["input"] = read - cached
    if cached:
        meters["cache_read"] = cached
    if made:
        meters["output"] = made
    if reasoning:
        meters["reasoning"] = reasoning
    return meters


cdef dict _anthropic(Found* found):
    """`common_usage.anthropic_meters` of the counts that were found."""
    cdef long long hour = found.counts[HOUR]
    cdef long long five = max(found.counts[FIVE], found.counts[WRITTEN] - hour)
    cdef dict meters = {}
    if found.counts[READ]:
        meters["input"] = found.counts[READ]
    if found.counts[CACHED]:
        meters["cache_read"] = found.counts[CACHED]
    if five:
        meters["cache_write_5m"] = five
    if hour:
        meters["cache_write_1h"] = hour
    if found.counts[MADE]:
        meters["output"] = found.counts[MADE]
    return meters


cdef Form _openai_form = Form(OPENAI)
cdef Form _anthropic_form = Form(ANTHROPIC)
cdef dict _FORMS = {
    CHAT: _openai_form, COMPLETIONS: _openai_form, EMBEDDINGS: _openai_form, MESSAGES: _anthropic_form,
}  # fmt: skip
cdef tuple _RARE_HEADERS = ("content-encoding", COST_HEADER, TIER_HEADER, REGION_HEADER)
cdef object _NOTHING = Served()
cdef list _last = [""] * TEXTS
cdef Py_ssize_t _QUANTITIES = offset_of(Served, "quantities")
cdef Py_ssize_t _CALLS = offset_of(Served, "tool_calls")
cdef Py_ssize_t _REGION = offset_of(Served, "region")
cdef Py_ssize_t[4] _WORDS
_WORDS[:] = [offset_of(Served, name) for name in ("id", "model", "tier", "finish")]


def plain_answer(surface, bytes body not None, headers) -> Served | None:
    """What the whole answer `body` of status 200 says was served; None where another look must be taken. `headers`: by
    their names in lower case."""
    cdef Form form = <Form> _FORMS.get(surface)
    cdef Found found
    cdef dict meters
    if form is None:
        return None
    for header in _RARE_HEADERS:
        if header in headers:
            return None
    if not form.read(body, 0, &found):
        return None
    meters = _openai(&found) if form is _openai_form else _anthropic(&found)
    return _served(meters, &found) if meters else None  # no request consumes nothing


cdef object _served(dict meters, Found* found):
    cdef object served = copied(_NOTHING, NULL, NULL, 0)
    cdef int place
    put(served, _QUANTITIES, meters)
    for place in range(FINISH + 1):
        if found.texts[place] != NULL:
            put(served, _WORDS[place], _word(found, place))
    if found.calls or found.said:
        put(served, _CALLS, found.calls + found.said)
    if found.texts[SERVICE_TIER] != NULL or found.texts[GEO] != NULL or found.texts[SPEED] != NULL:
        tier, region = _tier_and_region(_word(found, SERVICE_TIER), _word(found, GEO), _word(found, SPEED))
        put(served, _WORDS[TIER], tier)
        put(served, _REGION, region)
    return served


cdef str _word(Found* found, int place):
    """The text that was found there; None where there is none. Mostly it is the same as in the answer before."""
    cdef Py_ssize_t size = found.sizes[place]
    cdef str known = <str> _last[place]
    if found.texts[place] == NULL:
        return None
    if PyUnicode_GET_LENGTH(known) != size or memcmp(PyUnicode_DATA(known), found.texts[place], size) != 0:
        known = PyUnicode_DecodeASCII(<const char*> found.texts[place], size, NULL)
        _last[place] = known
    return known


@lru_cache(maxsize=256)
def _tier_and_region(service_tier: str | None, inference_geo: str | None, speed: str | None) -> tuple[str, str]:
    """`tier_and_region` of what a usage object states of them: a few values, which always come again."""
    stated = {"service_tier": service_tier, "inference_geo": inference_geo, "speed": speed}
    return tier_and_region(MESSAGES, stated)
