"""The ledger, budgets and keys of several gateways in one PostgreSQL database.

Each gateway keeps its data folder: its journal (no row is lost while the database is away), its mirror of the keys, and
the ledger that readers ask, into which `pull` brings the rows of all. Needs `pip install 'farthing[postgres]'`.
"""
