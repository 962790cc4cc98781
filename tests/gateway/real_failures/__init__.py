"""Failures that other gateways' users reported in public, replayed against ours.

Each test names the project and the number of the report, says in its own words what went wrong there, and holds what
ours does. Most run against a real gateway in front of an upstream that answers as the report says; where the fault is
one of arithmetic or of a usage object, against the part that does it.
"""
