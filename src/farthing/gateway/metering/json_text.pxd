"""Walking along JSON text (RFC 8259) in C, strictly: what these functions take, any strict decoder takes.

Each takes the place where something begins and gives back the place behind it, or NULL where it is not as the grammar
says (or nested too deeply, or no UTF-8). The text is that of a `bytes`, which ends in a NUL that is not part of it: no
rule takes a NUL, and none reads on behind a byte that it did not take, so that none reads beyond the end.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* The first byte from `at` on that is a quote, a backslash, a control character, or not ASCII: in the vectors of
       gcc and clang. (As numbers with a sign, bytes that are not ASCII are less than a space.) */
    typedef signed char farthing_bytes __attribute__((vector_size(16)));
    typedef uint64_t farthing_words __attribute__((vector_size(16)));

    static inline farthing_words farthing_marks(const unsigned char *at) {
        farthing_bytes read;
        memcpy(&read, at, 16);
        return (farthing_words)((read == '"') | (read == '\\\\') | (read < ' '));
    }

    static inline int farthing_first_mark(uint64_t marks) {
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        return __builtin_clzll(marks) >> 3;
    #else
        return __builtin_ctzll(marks) >> 3;
    #endif
    }

    static inline const unsigned char *farthing_past_ascii(const unsigned char *at, const unsigned char *end) {
        const unsigned char *begin = at;
        farthing_words marks;
        for (; end - at >= 16; at += 16) {
            marks = farthing_marks(at);
            if (marks[0]) return at + farthing_first_mark(marks[0]);
            if (marks[1]) return at + 8 + farthing_first_mark(marks[1]);
            if (at - begin < 48) continue;
            for (; end - at >= 80; at += 64) {  /* a long text */
                marks = farthing_marks(at + 16) | farthing_marks(at + 32) | farthing_marks(at + 48)
                    | farthing_marks(at + 64);
                if (marks[0] | marks[1]) break;
            }
        }
        while (*at >= ' ' && *at < 0x80 && *at != '"' && *at != '\\\\') at++;
        return at;
    }
    """
    const unsigned char* past_ascii "farthing_past_ascii"(
        const unsigned char* at, const unsigned char* end) noexcept nogil

ctypedef const unsigned char* Place

cdef struct Value:  # a text or a number that was passed
    Place begin
    Place end
    void* member  # what is known of it, NULL for nothing

cdef enum:
    MOST_VALUES = 64

cdef struct Text:
    Place end  # that of the NUL
    bint all_text  # a member called `type` ends the walk, as does one whose name is escaped and may read so
    bint is_rare  # set by a string that holds an escape, or more than ASCII
    Py_ssize_t begun  # objects and lists
    Py_ssize_t names
    Py_ssize_t strings  # names among them
    Value* values  # where the first `MOST_VALUES` of them are noted; NULL where they are not
    int noted


cdef inline void set_out(Text* text, Place at, Py_ssize_t size) noexcept nogil:
    """Begin a walk along the `size` bytes at `at`."""
    text.end = at + size
    text.all_text = text.is_rare = False
    text.begun = text.names = text.strings = 0
    text.values, text.noted = NULL, 0


cdef inline void note(Text* text, Place begin, Place end, void* member) noexcept nogil:
    if text.values != NULL:
        if text.noted < MOST_VALUES:
            text.values[text.noted].begin, text.values[text.noted].end = begin, end
            text.values[text.noted].member = member
        text.noted += 1


cdef inline Place past_space(Place at) noexcept nogil:
    while at[0] <= b" " and (at[0] == b" " or at[0] == b"\n" or at[0] == b"\r" or at[0] == b"\t"):
        at += 1  # (mostly there is none, as the first comparison says)
    return at


cdef inline bint is_hex(unsigned char c) noexcept nogil:
    return b"0" <= c <= b"9" or b"a" <= c <= b"f" or b"A" <= c <= b"F"


cdef inline Place past_escape(Place at) noexcept nogil:
    """Behind the escape whose backslash is at `at`. (Half a surrogate pair is taken, as by upstreams.)"""
    cdef unsigned char c = at[1]
    if c == b"u":
        return at + 6 if is_hex(at[2]) and is_hex(at[3]) and is_hex(at[4]) and is_hex(at[5]) else NULL
    if c == b"n" or c == b'"' or c == b"\\" or c == b"t" or c == b"/" or c == b"r" or c == b"b" or c == b"f":
        return at + 2
    return NULL


cdef inline Place past_beyond_ascii(Place at) noexcept nogil:
    """Behind the one character beyond ASCII at `at`, in UTF-8 (RFC 3629): shortest form, no surrogate."""
    cdef unsigned char c = at[0], low = 0x80, high = 0xBF
    if c < 0xC2 or c > 0xF4:
        return NULL
    if c == 0xE0:
        low = 0xA0
    elif c == 0xED:
        high = 0x9F
    elif c == 0xF0:
        low = 0x90
    elif c == 0xF4:
        high = 0x8F
    if not low <= at[1] <= high:
        return NULL
    if c < 0xE0:
        return at + 2
    if at[2] & 0xC0 != 0x80:
        return NULL
    if c < 0xF0:
        return at + 3
    return at + 4 if at[3] & 0xC0 == 0x80 else NULL


cdef inline Place past_string(Text* text, Place at) noexcept nogil:
    """Behind the string whose first character is at `at` (its quote before it)."""
    text.strings += 1
    while True:
        at = past_ascii(at, text.end)
        if at[0] == b'"':
            return at + 1
        text.is_rare = True
        if at[0] == b"\\":
            at = past_escape(at)
            if at == NULL:
                return NULL
        elif at[0] < 0x80:
            return NULL  # a control character, or the end
        while at[0] >= 0x80:
            at = past_beyond_ascii(at)
            if at == NULL:
                return NULL


cdef inline Place past_plain(Text* text, Place at) noexcept nogil:
    """Behind the string whose first character is at `at`, if it is ASCII and nothing in it is escaped."""
    text.is_rare = False
    at = past_string(text, at)
    if text.is_rare:
        return NULL
    return at


cdef inline Place past_digits(Place at) noexcept nogil:
    """Behind at least one digit."""
    if not b"0" <= at[0] <= b"9":
        return NULL
    while b"0" <= at[0] <= b"9":
        at += 1
    return at


cdef inline Place past_number(Place at) noexcept nogil:
    if at[0] == b"-":
        at += 1
    at = at + 1 if at[0] == b"0" else past_digits(at)
    if at != NULL and at[0] == b".":
        at = past_digits(at + 1)
    if at != NULL and (at[0] == b"e" or at[0] == b"E"):
        at += 1
        at = past_digits(at + 1 if at[0] == b"+" or at[0] == b"-" else at)
    return at


cdef inline Place past_literal(Text* text, Place at) noexcept nogil:
    """Behind true, false, null or a number."""
    cdef Py_ssize_t left = text.end - at
    if at[0] == b"n":
        return at + 4 if left >= 4 and memcmp(at, b"null", 4) == 0 else NULL
    if at[0] == b"t":
        return at + 4 if left >= 4 and memcmp(at, b"true", 4) == 0 else NULL
    if at[0] == b"f":
        return at + 5 if left >= 5 and memcmp(at, b"false", 5) == 0 else NULL
    return past_number(at)


cdef inline Place past_colon(Place at) noexcept nogil:
    at = past_space(at)
    return past_space(at + 1) if at[0] == b":" else NULL


cdef inline Place past_name(Text* text, Place at) noexcept nogil:
    """Where the value of the member begins whose name begins (with its quote) at `at`."""
    cdef Place name = at + 1
    if at[0] != b'"':
        return NULL
    text.names += 1
    text.is_rare = False
    at = past_string(text, name)
    if at == NULL or (text.all_text and (text.is_rare or (at - name == 5 and memcmp(name, b"type", 4) == 0))):
        return NULL
    return past_colon(at)


cdef inline unsigned char closing(uint64_t lists) noexcept nogil:
    return c"]" if lists & 1 else c"}"


cdef inline Place past_value(Text* text, Place at) noexcept nogil:
    """Behind the value at `at`, of up to 63 levels."""
    cdef uint64_t lists = 0  # whether what is open is a list, the innermost in the lowest bit
    cdef int depth = 0
    cdef Place begin
    while True:
        begin = at
        if at[0] == b'"':
            at = past_string(text, at + 1)
            note(text, begin, at, NULL)
        elif at[0] == b"{" or at[0] == b"[":
            if depth == 63:
                return NULL
            depth += 1
            text.begun += 1
            lists = lists << 1 | (at[0] == b"[")
            at = past_space(at + 1)
            if at[0] != closing(lists):
                if not lists & 1:
                    at = past_name(text, at)
                    if at == NULL:
                        return NULL
                continue
            at += 1
            depth -= 1
            lists >>= 1
        else:
            at = past_literal(text, at)
            if begin[0] <= b"9":
                note(text, begin, at, NULL)
        if at == NULL:
            return NULL
        while depth:
            at = past_space(at)
            if at[0] == b",":
                break
            if at[0] != closing(lists):
                return NULL
            at += 1
            depth -= 1
            lists >>= 1
        if depth == 0:
            return at
        at = past_space(at + 1)
        if not lists & 1:
            at = past_name(text, at)
            if at == NULL:
                return NULL


cdef inline bint is_crowded(Text* text) noexcept nogil:
    """Whether what was walked along may hold more than `decoding.crowded` lets pass (of which this is a half)."""
    return text.begun > 50_000 or text.names > 100_000 or text.strings > 200_000
