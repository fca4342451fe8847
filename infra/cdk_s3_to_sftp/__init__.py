"""Deliver every object of S3 buckets to a partner's SFTP server."""

from cdk_s3_to_sftp.alarm_thresholds import Alarms
from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.bundling import Bundling
from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.mixin import DeliverToSftp
from cdk_s3_to_sftp.monitoring import Monitoring
from cdk_s3_to_sftp.network import DeliverySecurityGroup, StaticEgress
from cdk_s3_to_sftp.s3_to_sftp import S3ToSftp
from cdk_s3_to_sftp.server import SftpServer, UnknownOutcome
from cdk_s3_to_sftp.sources import Source, Trigger
from cdk_s3_to_sftp.stack import S3ToSftpStack

__all__ = [
    "Alarms",
    "Bundling",
    "DeliverToSftp",
    "DeliveryMetrics",
    "DeliverySecurityGroup",
    "InvalidArgument",
    "Monitoring",
    "S3ToSftp",
    "S3ToSftpStack",
    "SftpServer",
    "Source",
    "StaticEgress",
    "Trigger",
    "UnknownOutcome",
]
