cdef long long femto(object text) noexcept
