# cython: language_level=3
"""A few words, which texts in JSON are compared with as they lie; see json_words.pxd for how."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING


@cython.final
cdef class Words:
    """Up to `MOST_WORDS` words of up to 63 bytes."""

    def __cinit__(self, words):
        self.kept = tuple([word.encode() for word in words])
        self.count, self.sizes = 0, 0
        if len(self.kept) > MOST_WORDS or any([not 0 < len(word) < 64 for word in self.kept]):
            raise ValueError("too many words, or one that is empty or too long")
        for word in self.kept:
            self.words[self.count].begin, self.words[self.count].size = PyBytes_AS_STRING(word), len(word)
            self.sizes |= <uint64_t> 1 << len(word)
            self.count += 1
