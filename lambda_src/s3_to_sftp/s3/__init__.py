"""What S3 announces, and the bytes of one version of an object."""
