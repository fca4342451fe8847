"""One object, from its announcement to its receipt, and many of them in one invocation."""
