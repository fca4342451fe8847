"""SFTP as this project needs it: connect once, write fast, believe only statuses."""
