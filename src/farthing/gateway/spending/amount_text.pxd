"""Amounts as text, for the compiled parts beside it."""

cdef enum:  # bytes that suffice for
    NANO_ROOM = 32  # 11 digits of dollars, a point, 9 decimals
    USD_ROOM = 48  # 20 digits, a point, 15 decimals
    FRACTION_ROOM = 48  # 20 digits, a stroke, 20 digits

cdef char *put_nano(char *to, unsigned long long nano) noexcept
cdef char *put_usd(char *to, unsigned long long top, unsigned long long bottom) noexcept
cdef bint nano_of(unsigned long long top, unsigned long long bottom, unsigned long long *nano) noexcept
cdef str fraction_text(unsigned long long top, unsigned long long bottom)
