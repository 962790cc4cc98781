from libc.stdint cimport uint64_t


cdef bint read_fraction(object text, uint64_t* top, uint64_t* bottom) noexcept
cdef long long femto(object text) noexcept
