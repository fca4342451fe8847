"""Checks of rules that only an app can fail. Everything else is checked by the rules themselves."""

from dataclasses import fields

from cdk_s3_to_sftp.arguments import InvalidArgument, check_no_private_key, is_token
from s3_to_sftp.rules.delivery_rules import DeliveryRules


def check_rules(rules: DeliveryRules | None) -> None:
    """Refuse rules that hold a Token, or a private key.

    Raises:
        InvalidArgument: They hold one.
    """
    if rules is None:
        return
    written = repr(rules)
    check_no_private_key("rules", written)
    if is_token(written):
        name = next(each.name for each in fields(rules) if is_token(repr(getattr(rules, each.name))))
        raise InvalidArgument(
            "rules",
            "must be known when the app is synthesised, since they are written into a file, got a Token in "
            f"{name}",
        )
