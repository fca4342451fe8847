"""`python -m s3_to_sftp_cli`."""

from s3_to_sftp_cli.main import main

if __name__ == "__main__":
    main()
