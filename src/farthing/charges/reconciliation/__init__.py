"""Reconciliation: usage against an invoice, and every dollar of the difference explained or owned up to."""
