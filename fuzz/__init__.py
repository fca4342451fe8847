"""Feeds malformed input to every parser of the function, and reports the outcomes."""
