"""The error of a rule that can never work, raised where it is written."""

from collections.abc import Sequence


class InvalidRule(ValueError):
    """A rule has a value that cannot work. The message is one sentence that begins with the rule's name.

    Attributes:
        rule: Its name.
        complaint: The rest of the sentence.
    """

    def __init__(self, rule: str, complaint: str) -> None:
        super().__init__(f"{rule} {complaint}")
        self.rule = rule
        self.complaint = complaint


def require_type(rule: str, value: object, *types: type, wanted: str) -> None:
    """Refuse a value of another type; `bool` is no number.

    Raises:
        InvalidRule: It has another type.
    """
    is_flag = isinstance(value, bool) and bool not in types
    if is_flag or not isinstance(value, types):
        raise InvalidRule(rule, f"must be {wanted}, got {value!r}")


def require_range(rule: str, value: int, low: int, high: int) -> None:
    """Refuse a number outside the range, which includes both ends.

    Raises:
        InvalidRule: It is outside, or no whole number.
    """
    require_type(rule, value, int, wanted=f"a whole number from {low} to {high}")
    if not low <= value <= high:
        raise InvalidRule(rule, f"must be {low}-{high}, got {value}")


def require_items(rule: str, values: object, *items: type, wanted: str) -> None:
    """Refuse what is not a list of items of these types; neither a text nor a generator is a list of texts.

    Raises:
        InvalidRule: It is not one.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise InvalidRule(rule, f"must be a list of {wanted}, got {values!r}")
    for value in values:
        if not isinstance(value, items):
            raise InvalidRule(rule, f"must be a list of {wanted}, got {value!r} in it")
