"""One module for each command, or for commands that do alike."""
