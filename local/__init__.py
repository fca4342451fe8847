"""AWS on your machine: a local cloud, a real SFTP server and a real `cdk deploy` between them."""
