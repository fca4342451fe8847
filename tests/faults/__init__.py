"""Faults that are caused, not mocked: an SFTP server that misbehaves and a network that breaks."""
