"""Deliver every object of an S3 bucket to a partner's SFTP server."""

from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.bundling import Bundling
from cdk_s3_to_sftp.construct import S3ToSftp
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.stack import S3ToSftpStack

__all__ = ["Bundling", "InvalidArgument", "S3ToSftp", "S3ToSftpStack", "SftpServer"]
