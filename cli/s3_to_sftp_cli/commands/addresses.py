"""`s3-to-sftp addresses`: from where the function connects, for the partner's firewall."""

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from s3_to_sftp_cli.addresses import Egress, SourceAddresses, source_addresses
from s3_to_sftp_cli.context import Context, shared_options
from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.layout import labelled

_GUIDE = "docs/guides/partner-wants-our-ip-addresses.md"


@click.command("addresses")
@shared_options
def addresses_command(context: Context) -> int:
    """Show from which addresses the function connects.

    They are what a partner has to allow in a firewall.
    """
    found = source_addresses(context.aws, context.delivery)

    def show(console: Console) -> None:
        for line in _lines(found, width=console.width):
            console.print(line)

    document = {"delivery": context.delivery.as_json(), **_as_json(found)}
    context.output.result("addresses", document, show)
    return ExitCode.OK


def _lines(found: SourceAddresses, *, width: int) -> list[Text]:
    if found.vpc is None:
        return [
            labelled("address", ["not fixed: the function runs outside a VPC"], width=width),
            labelled(
                "partner",
                [
                    "Tell the partner that connections come from changing addresses of AWS in "
                    f"{found.region}: the host key and the login protect them, not an address."
                ],
                width=width,
            ),
            labelled("next", [f"StaticEgress gives fixed addresses: {_GUIDE}"], width=width),
        ]
    ways = [*found.ways, *found.ipv6_ways]
    lines = [line for way in ways for line in _way(way, width, with_subnets=len(ways) > 1)]
    if found.fixed:
        tell = "Tell the partner all of them: any of them may be used." if len(found.fixed) > 1 else ""
        lines += [labelled("partner", [tell], width=width)] if tell else []
    return lines


def _way(way: Egress, width: int, *, with_subnets: bool) -> list[Text]:
    subnets = f" from {', '.join(way.subnets)}" if with_subnets else ""
    through = f"by {way.through}{subnets}"
    if way.is_blocked:
        why = "there is no route to the internet"
        if way.through:
            why = f"the route leads to {way.through}, where nothing passes (a function has no public address)"
        return [labelled("address", [Text(f"none{subnets}: {why}", style="bold red")], width=width)]
    if not way.addresses:
        return [
            labelled("address", [f"not known: what is behind {way.through} decides", through], width=width)
        ]
    lines = [labelled("address", [Text(each, style="bold"), through], width=width) for each in way.addresses]
    if not way.is_public:
        note = "These are private: another network translates them before the partner sees them."
        lines.append(labelled("", [note], width=width))
    return lines


def _as_json(found: SourceAddresses) -> Mapping[str, Any]:
    return {
        "vpc": found.vpc,
        "region": found.region,
        "addresses": list(found.fixed),
        "ways": [
            {
                "family": family,
                "through": way.through or None,
                "subnets": list(way.subnets),
                "addresses": list(way.addresses),
                "public": way.is_public,
                "blocked": way.is_blocked,
            }
            for family, ways in (("ipv4", found.ways), ("ipv6", found.ipv6_ways))
            for way in ways
        ],
    }
