"""Years of dated price lists: what changed when, and which of that were changes of prices."""
