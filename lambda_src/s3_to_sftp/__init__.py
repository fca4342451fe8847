"""The function that delivers S3 objects to an SFTP server. Runs in AWS Lambda; never imports aws_cdk."""
