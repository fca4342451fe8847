"""Real faults instead of mocks: an SFTP server that misbehaves and a network that breaks."""
