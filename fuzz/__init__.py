"""Says what nobody should say, in every place where the function listens, and counts what comes of it."""
