MOST_DIGITS: int
"""Of the length of a body in a plain head."""
MOST_LINES: int
"""The headers of a plain head."""
MOST_PLAIN_BYTES: int
"""A longer head is not plain."""
