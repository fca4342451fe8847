"""An authenticated SSH connection to one pinned server."""
