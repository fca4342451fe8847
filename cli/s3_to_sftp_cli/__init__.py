"""The operator's command: `s3-to-sftp`. Reads and corrects the state of deployed deliveries."""
