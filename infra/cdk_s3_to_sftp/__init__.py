"""Deliver every object of an S3 bucket to a partner's SFTP server."""
