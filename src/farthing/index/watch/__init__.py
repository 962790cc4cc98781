"""Watching prices: what changed since a day, in dollars on one's own traffic."""
