"""The clocks of the system, read without Python's objects: each says what its namesake of Python's `time` says."""

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec


cdef inline double monotonic_s() noexcept:
    """`time.monotonic`, which is the clock of the event loop too."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)  # (both clocks are always there)
    return <double>(<int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec) / 1e9


cdef inline uint64_t wall_us() noexcept:
    """`time.time_ns` in microseconds since 1970."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <uint64_t>now.tv_sec * 1_000_000 + <uint64_t>now.tv_nsec // 1000
