"""`s3-to-sftp algorithms`: what the function offers, for a partner who asks."""

import click
from rich.console import Console
from rich.text import Text

from s3_to_sftp.algorithm_rule import AlgorithmRule, Kind
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.host_key_setting import pinned_host_keys
from s3_to_sftp.ssh import host_keys
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.layout import labelled, printable

_TITLES = {
    "key_exchange": "key exchange",
    "host_keys": "host keys (of the pinned types)",
    "ciphers": "ciphers",
    "macs": "MACs (not used with GCM ciphers)",
    "compression": "compression",
    "signatures": "signatures with our key (those of its type)",
}


@click.command("algorithms")
@shared_options
def algorithms_command(context: Context) -> int:
    """Show which SSH algorithms the function offers, the preferred ones first."""
    offered = offered_algorithms(context.delivery)

    def show(console: Console) -> None:
        for name, title in _TITLES.items():
            console.print(Text(title, style="bold"))
            names = [printable(each) for each in offered[name]]
            listed = [f"{each}," for each in names[:-1]] + names[-1:]
            console.print(labelled("", listed, width=console.width, gap=1))

    document = {"delivery": context.delivery.as_json(), **offered}
    context.output.result("algorithms", document, show)
    return ExitCode.OK


def offered_algorithms(delivery: DeployedDelivery) -> dict[str, list[str]]:
    """Return what the function offers, each list in order of preference.

    It is what this version of the package offers: a function that was deployed from another one may differ.
    """
    rule = _rule(delivery)
    return {
        "key_exchange": list(rule.offered(Kind.KEY_EXCHANGE)),
        "host_keys": list(_host_key_algorithms(delivery, rule)),
        "ciphers": list(delivery.ciphers or rule.offered(Kind.CIPHER)),
        "macs": list(rule.offered(Kind.MAC)),
        "compression": ["none"],
        "signatures": list(rule.offered(Kind.SIGNATURE)),
    }


def _rule(delivery: DeployedDelivery) -> AlgorithmRule:
    try:
        return AlgorithmRule.from_text(delivery.algorithms)
    except ValueError:  # the function says so itself, and offers nothing
        return AlgorithmRule()


def _host_key_algorithms(delivery: DeployedDelivery, rule: AlgorithmRule) -> tuple[str, ...]:
    offered = rule.offered(Kind.SIGNATURE)
    try:
        pinned = pinned_host_keys("\n".join(delivery.host_keys))
    except ConfigurationError:
        return offered
    return host_keys.algorithms_for(pinned, offered=offered) or offered
