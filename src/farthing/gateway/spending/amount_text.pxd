"""Amounts as text, for the compiled parts beside it."""

cdef Py_ssize_t NANO_ROOM
cdef Py_ssize_t USD_ROOM
cdef char *put_nano(char *to, unsigned long long nano) noexcept
cdef char *put_usd(char *to, unsigned long long top, unsigned long long bottom) noexcept
cdef bint nano_of(unsigned long long top, unsigned long long bottom, unsigned long long *nano) noexcept
cdef str fraction_text(unsigned long long top, unsigned long long bottom)
