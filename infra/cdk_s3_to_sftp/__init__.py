"""Deliver every object of S3 buckets to a partner's SFTP server."""

from importlib.metadata import version

from cdk_s3_to_sftp.function_package import function_package

with function_package():
    from cdk_s3_to_sftp.alarm_thresholds import Alarms
    from cdk_s3_to_sftp.algorithms import Algorithms
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
    from s3_to_sftp.delivery_plan import IfExists
    from s3_to_sftp.measured_server import MeasuredServer
    from s3_to_sftp.rules import profiles
    from s3_to_sftp.rules.after_delivery import AfterDelivery
    from s3_to_sftp.rules.companion import Companion
    from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
    from s3_to_sftp.rules.filter import Filter
    from s3_to_sftp.rules.gzip_transform import Gzip, GzipTime
    from s3_to_sftp.rules.invalid import InvalidRule
    from s3_to_sftp.rules.open_pgp import OpenPgp
    from s3_to_sftp.rules.profiles import Period
    from s3_to_sftp.rules.sequence import Reset, Sequence
    from s3_to_sftp.rules.window import Rate, Window

__version__ = version("cdk-s3-to-sftp")
"""Version of the distribution, as pyproject.toml has it."""

__all__ = [
    "AfterDelivery",
    "Alarms",
    "Algorithms",
    "Bundling",
    "Case",
    "Companion",
    "DeliverToSftp",
    "DeliveryMetrics",
    "DeliveryRules",
    "DeliverySecurityGroup",
    "Filter",
    "Gzip",
    "GzipTime",
    "IfExists",
    "InvalidArgument",
    "InvalidRule",
    "MeasuredServer",
    "Monitoring",
    "OpenPgp",
    "Period",
    "Rate",
    "Reset",
    "S3ToSftp",
    "S3ToSftpStack",
    "Sequence",
    "SftpServer",
    "Source",
    "StaticEgress",
    "Trigger",
    "UnknownOutcome",
    "Window",
    "profiles",
]
