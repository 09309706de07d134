"""Frozen structs, sizes, ids and errors. Imports nothing of ours; everything above speaks in these words."""
