"""All faults, by name."""

from tests.gateway.faulty import fault_answers, fault_usage, fault_wire
from tests.gateway.faulty.registry import ALTER, TAKE, error_reply

FAMILIES = (fault_answers, fault_usage, fault_wire)
"""Importing them fills the registries."""

__all__ = ["ALTER", "FAMILIES", "TAKE", "error_reply"]
