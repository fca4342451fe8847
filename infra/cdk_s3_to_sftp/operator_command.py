"""The operator's command in texts of a stack: alarms and dashboard."""

from cdk_s3_to_sftp.metrics import DeliveryMetrics


def command_for(delivery: DeliveryMetrics, arguments: str) -> str:
    """Return the command for this delivery, in backticks, to be typed as it is."""
    return f"`s3-to-sftp {arguments} --name {delivery.function.function_name}`"
