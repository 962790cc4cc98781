"""What stands in a request around its prompt and its tools, as `outlines` finds it."""

from farthing.gateway.metering.json_words cimport Words
from farthing.gateway.metering.tool_lists cimport ToolLists, Tools


cdef class Outline:
    cdef readonly bytes text
    cdef readonly Py_ssize_t size, tools
    cdef readonly bint built_in


cdef class Outlines:
    cdef Words parts, others, not_text
    cdef ToolLists tools
    cdef bytes text_of(self, bytes body, Tools* tools)


cdef inline Outline outline_of(bytes text, Py_ssize_t size, Tools* tools):
    cdef Outline made = Outline.__new__(Outline)
    made.text, made.size, made.tools, made.built_in = text, size, tools.count, tools.built_in
    return made
