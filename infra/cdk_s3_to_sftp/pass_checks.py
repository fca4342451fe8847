"""Whether objects can be transformed in the time of one invocation: in one pass, since nothing is resumed."""

from collections.abc import Callable, Sequence

import aws_cdk as cdk
from constructs import Construct

from cdk_s3_to_sftp.annotations import validate_with
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sources import Source
from s3_to_sftp.rules.rules_together import too_large_for_one_pass


def refuse_at_synth_what_takes_too_long(
    scope: Construct, server: SftpServer, timeout: cdk.Duration, sources: Callable[[], Sequence[Source]]
) -> None:
    """Make it an error of synth if no object that the rules let through can be transformed in time.

    Args:
        scope: The construct.
        server: With the rules of the partner.
        timeout: Of the function.
        sources: Returns all sources of the construct.
    """

    def look() -> list[str]:
        if timeout.is_unresolved():
            return []
        given = dict.fromkeys(source.rules or server.rules for source in sources())
        seconds = timeout.to_seconds()
        return [
            why for rules in given if rules is not None and (why := too_large_for_one_pass(rules, seconds))
        ]

    validate_with(scope, look)
