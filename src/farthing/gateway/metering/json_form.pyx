# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Objects of a known form in JSON: a few of their counts and texts, found in one walk along them.

What the same model answers to one request after another is the same to the byte but for its texts and numbers: between
those it is compared (a `_Shape`), which takes a third of a walk. What has another form is for the decoders in Python.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy, memset

from farthing.gateway.metering.json_text cimport (
    MOST_VALUES,
    Place,
    Text,
    Value,
    is_crowded,
    note,
    past_colon,
    past_literal,
    past_number,
    past_space,
    past_string,
    past_value,
    set_out,
)

cdef enum:  # what a member holds, as in `answer_forms.Holds`
    _ANYTHING, _NULL, _ZERO, _COUNT, _TEXT, _SAYS, _PIECE, _OBJECT, _LIST
cdef dict _KINDS = {
    "anything": _ANYTHING, "null": _NULL, "zero": _ZERO, "count": _COUNT, "text": _TEXT, "says": _SAYS,
    "piece": _PIECE, "object": _OBJECT, "list": _LIST,
}  # fmt: skip

cdef dict _PLACES = {
    "read": READ, "made": MADE, "total": TOTAL, "hit": HIT, "cached": CACHED, "reasoning": REASONING,
    "written": WRITTEN, "five": FIVE, "hour": HOUR, "id": ID, "model": MODEL, "tier": TIER, "finish": FINISH,
    "service_tier": SERVICE_TIER, "inference_geo": GEO, "speed": SPEED,
}  # fmt: skip


cdef struct Hole:
    Py_ssize_t before  # bytes of the shape
    Member* member  # NULL where anything will do that is a text or a number


@cython.final
cdef class _Shape:
    """All of a text that fitted a form but its texts and numbers: what has other ones in their places fits as well."""

    cdef bytes fixed
    cdef Hole holes[MOST_VALUES]
    cdef int count
    cdef Py_ssize_t after  # bytes behind the last hole
    cdef long long calls


cdef enum:
    _MOST_SHAPES = 4
    _LONGEST_SHAPE = 8192


@cython.final
cdef class Form:
    """An `answer_forms.Form`, of which each known member may stand in an object once."""

    def __cinit__(self, form):
        cdef Member* member
        self.count, self.others, self.inner, self.names = 0, form.others, [], []
        self.shapes = []
        if len(form.members) > _MOST_MEMBERS:
            raise ValueError("a form of too many members")
        for name, holds in form.members.items():
            member = &self.members[self.count]
            self.names.append(name.encode())
            self.inner.append(None if holds.inner is None else Form(holds.inner))
            member.name, member.size = PyBytes_AS_STRING(self.names[2 * self.count]), len(self.names[2 * self.count])
            member.kind, member.or_null, member.is_call = _KINDS[holds.kind], holds.or_null, holds.is_call
            member.place, member.most = _PLACES.get(holds.place, 0), holds.most
            self.names.append(holds.place.encode())
            member.said, member.said_size = PyBytes_AS_STRING(self.names[2 * self.count + 1]), len(holds.place)
            if holds.kind in ("count", "text") and holds.place not in _PLACES:
                raise ValueError(f"nobody looks at {name}")
            self.count += 1

    cdef bint read(self, bytes text, Py_ssize_t start, Found* found) except -1:
        """Find what `text` holds from `start` on; whether it is JSON of this form."""
        cdef Text walk
        cdef Value[MOST_VALUES] values
        cdef _Shape made
        cdef Place begin = <Place> PyBytes_AS_STRING(text) + start, at
        cdef int i
        set_out(&walk, begin, PyBytes_GET_SIZE(text) - start)
        for i in range(len(self.shapes)):
            if _has_shape(<_Shape> self.shapes[i], &walk, begin, found):
                if i:
                    self.shapes[0], self.shapes[i] = self.shapes[i], self.shapes[0]
                return True
        memset(found, 0, sizeof(Found))
        walk.values = values
        at = _past_object(self, &walk, past_space(begin), found)
        if at == NULL or past_space(at) != walk.end or is_crowded(&walk):
            return False
        made = _shape(&walk, begin, found.calls)
        if made is not None:
            if len(self.shapes) == _MOST_SHAPES:
                self.shapes.pop()
            self.shapes.append(made)
        return True


cdef _Shape _shape(Text* walk, Place begin, long long calls):
    """The shape of the text that begins at `begin` and was walked along, noting its values; None where it is long."""
    cdef _Shape made
    cdef Value* value
    cdef char* to
    cdef Py_ssize_t size = walk.end - begin
    cdef int i
    if walk.noted > MOST_VALUES:
        return None
    for i in range(walk.noted):
        size -= walk.values[i].end - walk.values[i].begin
    if size > _LONGEST_SHAPE:
        return None
    made = _Shape.__new__(_Shape)
    made.fixed = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(made.fixed)
    for i in range(walk.noted):
        value = &walk.values[i]
        made.holes[i].before, made.holes[i].member = value.begin - begin, <Member*> value.member
        memcpy(to, begin, value.begin - begin)
        to += value.begin - begin
        begin = value.end
    memcpy(to, begin, walk.end - begin)
    made.count, made.after, made.calls = walk.noted, walk.end - begin, calls
    return made


cdef bint _has_shape(_Shape shape, Text* text, Place at, Found* found) noexcept:
    """Whether the text from `at` on is of this shape, and then what it holds."""
    cdef const char* fixed = PyBytes_AS_STRING(shape.fixed)
    cdef Hole* hole
    cdef int i
    memset(found, 0, sizeof(Found))
    for i in range(shape.count):
        hole = &shape.holes[i]
        if text.end - at < hole.before or memcmp(at, fixed, hole.before) != 0:
            return False
        at += hole.before
        fixed += hole.before
        if hole.member != NULL:
            at = _past_scalar(hole.member, text, at, found)
        elif at[0] == c'"':
            at = past_string(text, at + 1)
        else:
            at = past_number(at)
        if at == NULL:
            return False
    found.calls = shape.calls
    return text.end - at == shape.after and memcmp(at, fixed, shape.after) == 0


cdef Place _past_object(Form form, Text* text, Place at, Found* found) noexcept:
    """Behind the object of the form `form` at `at`; NULL where it is in another."""
    cdef unsigned int seen = 0
    cdef int expected = 0, number
    cdef Place name
    cdef Py_ssize_t size
    if at[0] != c"{":
        return NULL
    text.begun += 1
    at = past_space(at + 1)
    if at[0] == c"}":
        return at + 1
    while at[0] == c'"':
        name = at + 1
        text.names += 1
        text.is_rare = False
        at = past_string(text, name)
        if at == NULL or text.is_rare:
            return NULL
        size = at - name - 1
        at = past_colon(at)
        if at == NULL:
            return NULL
        number = _number(form, name, size, expected)
        if number >= 0:
            if seen >> number & 1:
                return NULL  # stated twice
            seen |= <unsigned int> 1 << number
            expected = number + 1
            at = _past_member(form, number, text, at, found)
        elif form.others:
            at = past_value(text, at)
        else:
            return NULL
        if at == NULL:
            return NULL
        at = past_space(at)
        if at[0] == c"}":
            return at + 1
        if at[0] != c",":
            return NULL
        at = past_space(at + 1)
    return NULL


cdef inline int _number(Form form, Place name, Py_ssize_t size, int expected) noexcept:
    """Which member of `form` is called so; -1 if none is. (Mostly that behind the last one: `expected`.)"""
    cdef int i
    if expected < form.count and form.members[expected].size == size:
        if memcmp(form.members[expected].name, name, size) == 0:
            return expected
    for i in range(form.count):
        if form.members[i].size == size and memcmp(form.members[i].name, name, size) == 0:
            return i
    return -1


cdef Place _past_member(Form form, int number, Text* text, Place at, Found* found) noexcept:
    """Behind the value at `at` of a member of `form`; NULL where it holds something else."""
    cdef Member* member = &form.members[number]
    cdef Place begin
    if member.kind == _ANYTHING:
        return past_value(text, at)
    if at[0] == c"n":
        return past_literal(text, at) if member.or_null else NULL
    if member.kind == _ZERO:
        return at + 1 if at[0] == c"0" else NULL
    if member.kind == _OBJECT:
        found.calls += member.is_call
        return _past_object(<Form> form.inner[number], text, at, found)
    if member.kind == _LIST:
        return _past_list(<Form> form.inner[number], member.is_call, text, at, found)
    if member.kind == _NULL:
        return NULL
    begin = at
    at = _past_scalar(member, text, at, found)
    if at != NULL:
        note(text, begin, at, member)
    return at


cdef Place _past_scalar(Member* member, Text* text, Place at, Found* found) noexcept:
    """Behind the count or the text at `at`. (That may be null is no matter: what is null is no hole of a shape.)"""
    if member.kind == _COUNT:
        return _past_count(member, at, found)
    return _past_piece(text, at, found) if member.kind == _PIECE else _past_text(member, text, at, found)


cdef Place _past_list(Form form, bint is_call, Text* text, Place at, Found* found) noexcept:
    """Behind a list of objects of the form `form`."""
    if at[0] != c"[":
        return NULL
    text.begun += 1
    at = past_space(at + 1)
    if at[0] == c"]":
        return at + 1
    while True:
        found.calls += is_call
        at = _past_object(form, text, at, found)
        if at == NULL:
            return NULL
        at = past_space(at)
        if at[0] == c"]":
            return at + 1
        if at[0] != c",":
            return NULL
        at = past_space(at + 1)


cdef inline Place _past_count(Member* member, Place at, Found* found) noexcept:
    cdef Place begin = at
    cdef long long count = 0
    while c"0" <= at[0] <= c"9":
        count = 10 * count + (at[0] - c"0")
        if count > member.most:
            return NULL
        at += 1
    if at == begin or (begin[0] == c"0" and at - begin > 1):
        return NULL
    found.counts[member.place] = count
    return at


cdef inline Place _past_piece(Text* text, Place at, Found* found) noexcept:
    """Behind a text of which the size is wanted, in bytes of UTF-8."""
    cdef Place begin = at + 1
    cdef Py_ssize_t size, escapes = 0
    if at[0] != c'"':
        return NULL
    text.is_rare = False
    at = past_string(text, begin)
    if at == NULL:
        return NULL
    if text.is_rare:
        escapes = _spent(begin, at - 1)
        if escapes < 0:
            return NULL
    size = at - begin - 1 - escapes
    if size:
        found.pieces += 1
        found.piece_bytes += size
    return at


cdef Py_ssize_t _spent(Place at, Place end) noexcept:
    """How many bytes the escapes from `at` to `end` take more than what they stand for; -1 where half a surrogate pair
    may be among them."""
    cdef Py_ssize_t spent = 0
    cdef unsigned int code
    cdef int i
    while True:
        at = <Place> memchr(at, c"\\", end - at)
        if at == NULL:
            return spent
        if at[1] != c"u":
            spent += 1
            at += 2
            continue
        code = 0
        for i in range(2, 6):
            code = code << 4 | ((at[i] & 0xF) + (9 if at[i] > c"9" else 0))
        if 0xD800 <= code < 0xE000:
            return -1
        spent += 6 - (1 if code < 0x80 else 2 if code < 0x800 else 3)
        at += 6


cdef inline Place _past_text(Member* member, Text* text, Place at, Found* found) noexcept:
    """Behind a text that `words.word` would leave as it is."""
    cdef Place begin = at + 1
    cdef Py_ssize_t size
    if at[0] != c'"':
        return NULL
    text.is_rare = False
    at = past_string(text, begin)
    if at == NULL or text.is_rare:
        return NULL
    size = at - begin - 1
    if member.kind == _SAYS:
        found.said += size == member.said_size and memcmp(begin, member.said, size) == 0
        return at
    if size:
        if size > member.most or begin[0] == c" " or begin[size - 1] == c" " or memchr(begin, 0x7F, size) != NULL:
            return NULL
        found.texts[member.place] = begin
        found.sizes[member.place] = size
    return at
