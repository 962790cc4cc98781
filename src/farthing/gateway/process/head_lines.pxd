cdef bytes whole_answer(int status, object headers, bytes lines, bytes body, bint joined)
cdef bytes chunk(bytes body)
