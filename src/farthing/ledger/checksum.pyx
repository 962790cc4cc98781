# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The checksum of the journal's frames: CRC-32, as zlib has it.

Where the processor multiplies without carries, 16 bytes are folded onto the next 16 in a few instructions (V. Gopal et
al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009, whose constants for the
reflected polynomial 0x04C11DB7 these are): a twentieth of zlib's instructions. Elsewhere zlib is asked.
"""

from libc.stdint cimport uint32_t

from zlib import crc32 as _crc32

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>
    /* The checksum of `count` bytes, a multiple of 16 and 64 at least; `crc` comes and goes inverted. */
    __attribute__((target("pclmul,sse4.1")))
    static uint32_t folded(const unsigned char *at, Py_ssize_t count, uint32_t crc) {
        const __m128i by_4 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
        const __m128i by_1 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
        const __m128i to_64 = _mm_set_epi64x(0, 0x0163cd6124);
        const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
        const __m128i low = _mm_set_epi32(0, -1, 0, -1);
        __m128i x[4], part;
        for (int n = 0; n < 4; n++) x[n] = _mm_loadu_si128((const __m128i *)at + n);
        x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)crc));
        for (at += 64, count -= 64; count >= 64; at += 64, count -= 64)
            for (int n = 0; n < 4; n++) {
                part = _mm_xor_si128(_mm_clmulepi64_si128(x[n], by_4, 0x00), _mm_clmulepi64_si128(x[n], by_4, 0x11));
                x[n] = _mm_xor_si128(part, _mm_loadu_si128((const __m128i *)at + n));
            }
        for (int n = 1; n < 4; n++) {
            part = _mm_xor_si128(_mm_clmulepi64_si128(x[0], by_1, 0x00), _mm_clmulepi64_si128(x[0], by_1, 0x11));
            x[0] = _mm_xor_si128(part, x[n]);
        }
        for (; count >= 16; at += 16, count -= 16) {
            part = _mm_xor_si128(_mm_clmulepi64_si128(x[0], by_1, 0x00), _mm_clmulepi64_si128(x[0], by_1, 0x11));
            x[0] = _mm_xor_si128(part, _mm_loadu_si128((const __m128i *)at));
        }
        x[0] = _mm_xor_si128(_mm_srli_si128(x[0], 8), _mm_clmulepi64_si128(x[0], by_1, 0x10));
        x[0] = _mm_xor_si128(_mm_srli_si128(x[0], 4), _mm_clmulepi64_si128(_mm_and_si128(x[0], low), to_64, 0x00));
        part = _mm_clmulepi64_si128(_mm_and_si128(x[0], low), barrett, 0x10);
        part = _mm_clmulepi64_si128(_mm_and_si128(part, low), barrett, 0x00);
        return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x[0], part), 1);
    }
    static int can_fold(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    }
    #else
    static uint32_t folded(const unsigned char *at, Py_ssize_t count, uint32_t crc) { return 0; }
    static int can_fold(void) { return 0; }
    #endif
    """
    uint32_t folded(const unsigned char* at, Py_ssize_t count, uint32_t crc) noexcept
    int can_fold() noexcept

cdef bint folds = can_fold()

cdef uint32_t[16] NIBBLES  # the checksum of four bits, for what is less than 16 bytes
cdef uint32_t _of
for _of in range(16):
    NIBBLES[_of] = _of
    for _ in range(4):
        NIBBLES[_of] = NIBBLES[_of] >> 1 ^ (0xEDB88320 if NIBBLES[_of] & 1 else 0)


cdef uint32_t crc32(const unsigned char* at, Py_ssize_t count, uint32_t start) except? 0:
    """The checksum of `count` bytes `at`, going on from that of what came before them (0: nothing)."""
    cdef Py_ssize_t whole
    cdef uint32_t crc
    if not folds:
        return _crc32(at[:count], start)
    crc = ~start
    if count >= 64:
        whole = count & ~<Py_ssize_t>15
        crc = folded(at, whole, crc)
        at += whole
        count -= whole
    while count:
        crc ^= at[0]
        crc = crc >> 4 ^ NIBBLES[crc & 15]
        crc = crc >> 4 ^ NIBBLES[crc & 15]
        at += 1
        count -= 1
    return ~crc


def checksum(bytes data not None, start=0, /):
    """The CRC-32 of `data`, as `zlib.crc32` gives it."""
    return crc32(data, len(data), <uint32_t>(start & 0xFFFFFFFF))
