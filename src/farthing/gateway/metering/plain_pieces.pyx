# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The events in the midst of a stream: each the next piece of the answer, and nothing else.

What does not fit `answer_forms` is for the gatherers to read; where it fits both say the same (a property test).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp

from farthing.gateway.metering.json_form cimport Form, Found

from farthing.gateway.metering.answer_forms import CHAT_PIECE, MESSAGES_PIECE, RESPONSES_PIECE

cdef Form _chat = Form(CHAT_PIECE)
cdef Form _messages = Form(MESSAGES_PIECE)
cdef Form _responses = Form(RESPONSES_PIECE)


def chat_piece(bytes chunk not None) -> int:
    """The bytes of text in a chunk that is one event of a chat's stream with up to one piece of text and nothing else;
    -1 where it is something else."""
    cdef Found found
    return found.piece_bytes if _is_event(_chat, chunk, &found) and found.pieces <= 1 else -1


def messages_piece(bytes chunk not None) -> int:
    """As `chat_piece`, of a stream of Anthropic's messages."""
    cdef Found found
    return found.piece_bytes if _is_event(_messages, chunk, &found) and found.said and found.pieces <= 1 else -1


def responses_piece(bytes chunk not None) -> int:
    """As `chat_piece`, of a stream of responses."""
    cdef Found found
    return found.piece_bytes if _is_event(_responses, chunk, &found) and found.said else -1


cdef bint _is_event(Form form, bytes chunk, Found* found) except -1:
    """Whether `chunk` is one event, of one line of data, of this form: then what it holds."""
    cdef const char* begin = PyBytes_AS_STRING(chunk)
    cdef const char* end = begin + PyBytes_GET_SIZE(chunk) - 2
    cdef const char* at = begin
    if end - begin < 8 or end[0] != c"\n" or end[1] != c"\n" or memchr(begin, c"\r", end - begin) != NULL:
        return False
    if memcmp(at, b"event: ", 7) == 0:
        at = <const char*> memchr(at, c"\n", end - at)
        if at == NULL:
            return False
        at += 1
    if end - at < 8 or memcmp(at, b"data: ", 6) != 0 or memchr(at, c"\n", end - at) != NULL:
        return False
    return form.read(chunk, at + 6 - begin, found)
