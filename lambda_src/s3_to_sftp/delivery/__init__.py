"""Delivers one object from its notification to its receipt, and many of them in one invocation."""
