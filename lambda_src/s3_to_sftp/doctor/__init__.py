"""Examines the way from S3 to the partner step by step, and names the cause of the first thing that fails."""
