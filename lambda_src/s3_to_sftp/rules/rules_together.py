"""Rules each of which could be kept, but not together, whatever the object is."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.remote_path import never_delivered
from s3_to_sftp.rules.after_delivery import AfterAction
from s3_to_sftp.rules.expression import can_contain
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.key_patterns import LONGEST_KEY
from s3_to_sftp.rules.object_tags import MOST_TAGS
from s3_to_sftp.rules.samples import least_length
from s3_to_sftp.rules.template import Template
from s3_to_sftp.rules.week import check_cut_off
from s3_to_sftp.stream_transform import BYTES_PER_SECOND

if TYPE_CHECKING:
    from s3_to_sftp.rules.delivery_rules import DeliveryRules

_LONGEST_NAME = 255
_SECOND = "-2"
"""Of the first name that NEW_NAME gives in place of one that exists."""
_WHOLE_KEY = ("key", "folder")
"""Fields that hold all directories of a key."""


def check_together(rules: "DeliveryRules") -> None:
    """Refuse rules that leave no object, or no name.

    Raises:
        InvalidRule: They do; the message names one of them, and what to change.
    """
    _check_tags(rules)
    _check_lengths(rules)
    _check_new_names(rules)
    _check_filtered_keys(rules)
    _check_moved_keys(rules)
    if rules.cut_off is not None and rules.windows:
        check_cut_off(rules.windows, rules.cut_off)


def too_large_for_one_pass(rules: "DeliveryRules", seconds: float) -> str:
    """Return why no object of the rules can be transformed in so many seconds; empty: some can."""
    least = rules.only.min_bytes if rules.only else None
    most = int(seconds * BYTES_PER_SECOND)
    if not rules.transforms or least is None or least <= most:
        return ""
    return (
        f"the rule only has min_bytes={least}, and transforms need one pass in one invocation, which can "
        f"do less "
        f"than {most} bytes in {seconds:g} s: no object could be delivered. Lower min_bytes, leave "
        f"transforms "
        "out, or give the function a longer timeout"
    )


def _check_tags(rules: "DeliveryRules") -> None:
    if len(rules.tags_used) > MOST_TAGS:
        raise InvalidRule(
            "name",
            f"must use at most {MOST_TAGS} tags together with 'companions' and 'only', which is what S3 "
            f"allows "
            f"of one object, got {len(rules.tags_used)}",
        )
    new = [name for name, _ in rules.after_delivery.tags if name not in rules.tags_used]
    if len(rules.tags_used) + len(new) > MOST_TAGS:
        raise InvalidRule(
            "after_delivery",
            f"must leave an object at most {MOST_TAGS} tags, which is what S3 allows, got {len(new)} new "
            f"ones "
            f"beside {len(rules.tags_used)} that 'name', 'companions' and 'only' use",
        )


def _check_lengths(rules: "DeliveryRules") -> None:
    if rules.allowed_names is None:
        return
    least = max(least_length(Template(rules.name), rules.sequence.start if rules.sequence else 1), 1)
    most = rules.max_name_length or _LONGEST_NAME
    low, high = _width(rules.allowed_names)
    if low > most or high < least:
        matched = f"{low}-{high}" if low < high else f"{low}"
        raise InvalidRule(
            "allowed_names",
            f"must match names, which have {least}-{most} characters, got {rules.allowed_names!r}: it "
            f"matches "
            f"{matched}",
        )


def _width(expression: str) -> tuple[int, int]:
    """Return how many characters a match has at least and at most; what cannot be told is 0, or very many."""
    parser: Any = getattr(re, "_parser", None)  # not public; without it nothing is refused
    try:
        low, high = parser.parse(expression).getwidth()
    except Exception:  # noqa: BLE001 - whatever another version raises
        return 0, 2**32
    return int(low), int(high)


def _check_new_names(rules: "DeliveryRules") -> None:
    if rules.if_exists is not IfExists.NEW_NAME:
        return
    least = least_length(Template(rules.name), 1) + len(_SECOND)
    if rules.max_name_length is not None and rules.max_name_length < least:
        raise InvalidRule(
            "max_name_length",
            f"must be at least {least} with if_exists NEW_NAME, got {rules.max_name_length}: no name has "
            f"room "
            f"for the {_SECOND!r} of a new one",
        )
    for character in _SECOND if rules.allowed_names is not None else "":
        if not can_contain(rules.allowed_names or "", character):
            raise InvalidRule(
                "allowed_names",
                f"must match new names with if_exists NEW_NAME, got {rules.allowed_names!r}: it lets no name "
                f"with {character!r} through, and the second name of a.csv is a{_SECOND}.csv",
            )


def _check_filtered_keys(rules: "DeliveryRules") -> None:
    """Refuse prefixes and suffixes of keys that cannot be paths, where the path holds the whole key."""
    if rules.only is None or not Template(rules.name).uses(*_WHOLE_KEY):
        return
    given: Mapping[str, Any] = {"prefixes": rules.only.prefixes, "suffixes": rules.only.suffixes}
    for name, texts in given.items():
        for text in texts:
            if why := never_delivered(**{"prefix" if name == "prefixes" else "suffix": text}):
                raise InvalidRule(
                    f"only.{name}", f"must have some keys that can be remote paths, got {text!r}: {why}"
                )


def _check_moved_keys(rules: "DeliveryRules") -> None:
    if rules.after_delivery.action is not AfterAction.MOVE or rules.only is None:
        return
    shortest = sum(
        min((len(each.encode()) for each in texts), default=0)
        for texts in (rules.only.prefixes, rules.only.suffixes)
    )
    prefix = len(rules.after_delivery.prefix.encode())
    if prefix + shortest > LONGEST_KEY:
        raise InvalidRule(
            "after_delivery.prefix",
            f"must leave room for the key, got {prefix} bytes: with the shortest key that 'only' lets "
            f"through "
            f"the new key has {prefix + shortest}, and S3 takes {LONGEST_KEY}",
        )
