"""Which objects of a source are delivered, beside its prefix and suffix."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from fnmatch import fnmatchcase

from s3_to_sftp.rules.filter_checks import check_keys, left_of_source
from s3_to_sftp.rules.invalid import InvalidRule, require_items, require_type
from s3_to_sftp.rules.object_tags import check_number_of_tags, check_tag

RULE = "only"
_MOST_BYTES = 50 * 1024**4
_MOST_SECONDS = 36_500 * 86_400
_LEAST_SECONDS = 60
"""In which an object is judged: its event takes seconds, and what waits comes back some seconds late."""
_ENCODED = re.compile("%[0-9A-Fa-f]{2}")

Age = int | timedelta


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Objects that are delivered; others have no receipt, and no error. All that is given must hold.

    Attributes:
        min_bytes: The smallest size, in bytes.
        max_bytes: The largest size, in bytes.
        min_age: Seconds, or a `timedelta`, since the object's last modification, which is when this version
            was put. A younger one waits, without using up tries.
        max_age: The same; what is older when its delivery would begin is not delivered.
        prefixes: The key begins with one of these. They are of the whole key, the source's prefix included.
        suffixes: The key ends with one of these.
        exclude: Patterns of whole keys that are not delivered: `*` stands for any text, '/' included, `?` for
            one character, `[ab]` for one of these.
        tags: Tags that the object has, with these values. They are read from S3, one request for each object.

    Raises:
        InvalidRule: A value cannot work, or no object could match.
    """

    min_bytes: int | None = None
    max_bytes: int | None = None
    min_age: Age | None = None
    max_age: Age | None = None
    prefixes: Sequence[str] = ()
    suffixes: Sequence[str] = ()
    exclude: Sequence[str] = ()
    tags: Mapping[str, str] | tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        self._check_sizes()
        for name in ("min_age", "max_age"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        self._check_ages()
        for name in ("prefixes", "suffixes", "exclude"):
            _check_texts(name, getattr(self, name))
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_ends(self.prefixes, self.suffixes)
        check_keys(self.prefixes, self.suffixes, self.exclude)
        object.__setattr__(self, "tags", _checked_tags(self.tags))
        if not any(getattr(self, each.name) not in (None, ()) for each in fields(self)):
            raise InvalidRule(RULE, "must say which objects are delivered, got Filter() without a value")

    @property
    def tag_values(self) -> Mapping[str, str]:
        """The values of tags by name."""
        return dict(self.tags)

    @property
    def uses_size(self) -> bool:
        """Whether it depends on the size."""
        return self.min_bytes is not None or self.max_bytes is not None

    @property
    def uses_age(self) -> bool:
        """Whether it depends on the age."""
        return self.min_age is not None or self.max_age is not None

    def refusal_of_key(self, key: str) -> str:
        """Return why objects with this key are not delivered; empty: they may be."""
        if self.prefixes and not key.startswith(tuple(self.prefixes)):
            return f"its key has none of the prefixes {_listed(self.prefixes)}"
        if self.suffixes and not key.endswith(tuple(self.suffixes)):
            return f"its key has none of the suffixes {_listed(self.suffixes)}"
        pattern = next((each for each in self.exclude if fnmatchcase(key, each)), None)
        return "" if pattern is None else f"its key matches {pattern!r} of 'exclude'"

    def refusal_of_size(self, size: int) -> str:
        """Return why objects of this size are not delivered; empty: they may be."""
        if self.min_bytes is not None and size < self.min_bytes:
            return f"it has {size:,} bytes, and 'min_bytes' is {self.min_bytes:,}"
        if self.max_bytes is not None and size > self.max_bytes:
            return f"it has {size:,} bytes, and 'max_bytes' is {self.max_bytes:,}"
        return ""

    def refusal_of_tags(self, tags: Mapping[str, str]) -> str:
        """Return why an object with these tags is not delivered; empty: it may be."""
        for name, value in self.tag_values.items():
            if tags.get(name) != value:
                there = f"is {tags[name]!r}" if name in tags else "is missing"
                return f"its tag {name!r} {there}, and must be {value!r}"
        return ""

    def refusal_of_age(self, age: float) -> str:
        """Return why an object that was put so many seconds ago is not delivered; empty: it may be."""
        if isinstance(self.max_age, int) and age > self.max_age:
            return f"it was put {int(age)} s ago, and 'max_age' is {self.max_age} s"
        return ""

    def wait(self, age: float) -> float:
        """Return after how many seconds an object that was put so long ago is old enough; 0: it is."""
        return max(self.min_age - age, 0) if isinstance(self.min_age, int) else 0

    def _check_sizes(self) -> None:
        for name in ("min_bytes", "max_bytes"):
            size = getattr(self, name)
            if size is None:
                continue
            require_type(f"{RULE}.{name}", size, int, wanted="a number of bytes")
            if not 0 <= size <= _MOST_BYTES:
                raise InvalidRule(
                    f"{RULE}.{name}",
                    f"must be 0-{_MOST_BYTES}, which is the size of S3's objects, got {size}",
                )
        low, high = self.min_bytes, self.max_bytes
        if low is not None and high is not None and low > high:
            raise InvalidRule(
                f"{RULE}.min_bytes",
                f"must not be more than max_bytes, got {low} and {high}: no object could match",
            )

    def _check_ages(self) -> None:
        low, high = self.min_age, self.max_age
        if not isinstance(high, int):
            return
        if not isinstance(low, int) and high < _LEAST_SECONDS:
            raise InvalidRule(
                f"{RULE}.max_age",
                f"must be at least {_LEAST_SECONDS} s, got {high} s: an object is seldom judged sooner "
                f"after it "
                "was put, and would not be delivered",
            )
        if isinstance(low, int) and high - low < _LEAST_SECONDS:
            raise InvalidRule(
                f"{RULE}.max_age",
                f"must be at least {_LEAST_SECONDS} s more than min_age, got {high} s and {low} s: what has "
                "waited for min_age would be too old by then, and would not be delivered",
            )


def check_filter(rule: object) -> None:
    """Refuse what is no `Filter`.

    Raises:
        InvalidRule: It is none.
    """
    if rule is not None:
        require_type(RULE, rule, Filter, wanted="a Filter(...)")


def never_matches(rule: Filter, *, prefix: str, suffix: str) -> str:
    """Return why no object of a source with this prefix and suffix can match; empty: some can."""
    begins = rule.prefixes or [prefix]
    if not any(each.startswith(prefix) or prefix.startswith(each) for each in begins):
        return f"none of the prefixes {_listed(rule.prefixes)} goes with the source's prefix {prefix!r}"
    ends = rule.suffixes or [suffix]
    if not any(each.endswith(suffix) or suffix.endswith(each) for each in ends):
        return f"none of the suffixes {_listed(rule.suffixes)} goes with the source's suffix {suffix!r}"
    return left_of_source(rule.prefixes, rule.suffixes, rule.exclude, prefix=prefix, suffix=suffix)


def _seconds(name: str, age: object) -> int | None:
    if age is None:
        return None
    require_type(f"{RULE}.{name}", age, int, timedelta, wanted="seconds, or a timedelta")
    seconds = int(age.total_seconds()) if isinstance(age, timedelta) else age
    if not isinstance(seconds, int) or not 1 <= seconds <= _MOST_SECONDS:
        raise InvalidRule(f"{RULE}.{name}", f"must be from 1 s to 36,500 days, got {age!r}")
    return seconds


def _check_texts(name: str, texts: object) -> None:
    rule = f"{RULE}.{name}"
    require_items(rule, texts, str, wanted="texts")
    for text in texts if isinstance(texts, Sequence) else ():
        if not text:
            raise InvalidRule(rule, "must not have an empty text in it: leave it out")
        if text.encode(errors="ignore").decode() != text:
            raise InvalidRule(rule, f"must be valid Unicode, which keys are, got {text!r}")
        if name != "suffixes" and text.startswith("/"):
            raise InvalidRule(rule, f"must not begin with '/', which keys do not, got {text!r}")
        if _ENCODED.search(text):
            raise InvalidRule(
                rule, f"must be written as keys are, not URL-encoded, got {text!r}: it would match nothing"
            )
        if name != "exclude" and "*" in text:
            raise InvalidRule(rule, f"must not contain '*', which they do not need, got {text!r}")


def _check_ends(prefixes: Sequence[str], suffixes: Sequence[str]) -> None:
    for text in suffixes:
        if text.endswith("/"):
            raise InvalidRule(
                f"{RULE}.suffixes", f"must not end with '/': such keys are directories, got {text!r}"
            )
    for name, texts in (("prefixes", prefixes), ("suffixes", suffixes)):
        if len(set(texts)) < len(texts):
            raise InvalidRule(f"{RULE}.{name}", f"must not have a text twice, got {list(texts)}")


def _checked_tags(tags: object) -> tuple[tuple[str, str], ...]:
    rule = f"{RULE}.tags"
    pairs = tuple(tags.items()) if isinstance(tags, Mapping) else tags
    if not isinstance(pairs, tuple) or not all(
        isinstance(each, tuple) and len(each) == 2 and all(isinstance(text, str) for text in each)
        for each in pairs
    ):
        raise InvalidRule(rule, f"must be values by name, as {{'state': 'approved'}}, got {tags!r}")
    names = [name for name, _ in pairs]
    check_number_of_tags(rule, names)
    for name, value in pairs:
        check_tag(rule, name, value)
        if names.count(name) > 1:
            raise InvalidRule(
                rule, f"must have one value for each name, which an object has only once, got {name!r} twice"
            )
    return tuple(sorted(pairs))


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts))
