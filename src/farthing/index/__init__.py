"""Price indices: how inference prices move, with basket, count, interval and method stated."""
