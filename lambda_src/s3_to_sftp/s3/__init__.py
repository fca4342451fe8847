"""S3's notifications, and the bytes of one version of an object."""
