"""Lists of tools in JSON, as `tool_lists` reads them."""

from farthing.gateway.metering.json_text cimport Place, Text
from farthing.gateway.metering.json_words cimport Words

cdef struct Tools:
    bint are_stated
    Py_ssize_t count
    bint built_in  # the provider runs one of them


cdef class ToolLists:
    cdef Words built_in
    cdef list known
    cdef Py_ssize_t known_bytes
    cdef Place past(self, Text* text, Place at, Tools* found) except? NULL
