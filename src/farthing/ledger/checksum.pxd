from libc.stdint cimport uint32_t


cdef uint32_t crc32(const unsigned char* at, Py_ssize_t count, uint32_t start) except? 0
