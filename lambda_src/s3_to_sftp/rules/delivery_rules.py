"""What a partner demands of the files that it gets, as its onboarding document says it."""

import zoneinfo
from collections.abc import Sequence as ListOf
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum
from functools import cached_property

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.rules.after_delivery import KEEP, AfterDelivery, check_after
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.expression import check_expression
from s3_to_sftp.rules.filter import Filter, check_filter
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.invalid import InvalidRule, require_items, require_range, require_type
from s3_to_sftp.rules.name_checks import (
    FINAL_NAME,
    check_files,
    check_names,
    check_number,
    check_temporary,
)
from s3_to_sftp.rules.open_pgp import OpenPgp
from s3_to_sftp.rules.rules_together import check_together
from s3_to_sftp.rules.sequence import Reset, Sequence
from s3_to_sftp.rules.template import Template, check_template
from s3_to_sftp.rules.times import is_zone, tells_days_apart, tells_years_apart
from s3_to_sftp.rules.window import Rate, Window, check_timing

KEY_FIELDS = frozenset({"key", "relative_key", "folder", "relative_folder", "name", "stem", "ext", "part"})
"""What the object's key says; in `name` they are of the key."""
FOLDER_FIELDS = frozenset({"key", "relative_key", "folder", "relative_folder"})
"""Those that may hold '/'."""
OBJECT_FIELDS = frozenset({"metadata", "tag", "version"})
NAME_FIELDS = KEY_FIELDS | OBJECT_FIELDS | {"event_time", "delivery_time", "sequence"}
TEMPORARY_FIELDS = frozenset({"name", "stem", "ext", "token"})
"""In `temporary` they are of the final name; `token` is another one for each attempt."""

DEFAULT_NAME = "{key}"
_LONGEST_NAME = 255
_MOST_COMPANIONS = 8


_DECIMAL_MODES = (400, 404, 440, 444, 500)
"""Usual modes that are valid ones, too, if somebody forgets the 0o in front: 440 is 0o670."""


class Case(StrEnum):
    """How the letters of names are written."""

    UPPER = "upper"
    LOWER = "lower"


@dataclass(frozen=True, kw_only=True)
class DeliveryRules:
    """A partner's rules about names, their order, and files beside the data. Validated when it is created.

    Attributes:
        name: Template of the path below the remote directory, of at most 1024 bytes. Fields of the key:
            `{key}`, `{relative_key}` (without the source's prefix), `{folder}` and `{relative_folder}`
            (directories, with '/' behind each), `{name}`, `{stem}`, `{ext}` (`.csv`), `{part[0]}`,
            `{part[-2]}`; others: `{event_time:%Y%m%d}`, `{delivery_time:%H%M%S}`, `{metadata[x]}`,
            `{tag[x]}`, `{version}`, `{sequence:06d}`. By default the key.
        time_zone: Of the times in names and of the sequence: a name of the IANA database. By default UTC.
        case: Case of the file names of data; directories stay as they are, and names of companions follow,
            as in `{name}.DONE`. By default as the template gives it.
        max_name_length: The most characters of a file name of data. All names have at most 255 bytes in
            UTF-8 as well, which is what file systems allow.
        allowed_names: Regular expression that file names of data must match as a whole. Do not nest repeats
            that can match the same text, as `([A-Z]*_?)*` does: a name of 255 characters that does not match
            can take years. By default any.
        temporary: Template of the name until a file is complete: `{name}.partial`, `{stem}.prg`, or with
            another directory, absolute or below the login directory: `/staging/{token}_{name}`. Fields:
            `{name}`, `{stem}` and `{ext}` of the final name, and `{token}`, which is different for each
            attempt: without it, files whose final name looks like a temporary one are refused.
            `{name}` alone writes files under their final names: the partner can then see half a file. By
            default a random, hidden name in the directory of the file.
        if_exists: What to do if something has the final name. By default it is replaced.
        mode: Permission bits that files get, such as 0o664. By default as the server sets them.
        preserve_time: Whether the data gets the time of the object's event as its modification time.
        require_attributes: Whether an object is not delivered if the server refuses `mode` or
            `preserve_time`. By default the refusal is remembered, and the file delivered without.
        sequence: The numbers of `{sequence}`.
        companions: Files beside the data, in this order.
        transforms: What is done to the data on its way, in this order. Size and checksums in companions are
            of what is sent. One invocation must be enough for an object: nothing is resumed.
        only: Which objects are delivered. By default all of the source.
        after_delivery: What happens to an object in S3 once its receipt is recorded. By default nothing.
        windows: When deliveries may begin: `Window("Mon-Fri 06:00-18:00")`. Objects that come at other times
            wait; what was begun may finish. By default always.
        holidays: Days on which no window starts, as `2026-12-25`.
        cut_off: The time by which everything that came before it must be at the partner, on days on which a
            window starts: `17:30`. There is an alarm for objects that are not. By default none.
        max_drops: The most data files that the partner gets in a period: `Rate(1, minutes=15)`. The files
            beside one belong to it. By default any number.
        examples: Keys whose plans are made at synth, so that mistakes are seen there.
        source: Where these rules are written down, for people.

    Raises:
        InvalidRule: A value cannot work; the message says why and what to write instead.
    """

    name: str = DEFAULT_NAME
    time_zone: str = "UTC"
    case: Case | None = None
    max_name_length: int | None = None
    allowed_names: str | None = None
    temporary: str | None = None
    if_exists: IfExists = IfExists.REPLACE
    mode: int | None = None
    preserve_time: bool = False
    require_attributes: bool = False
    sequence: Sequence | None = None
    companions: ListOf[Companion] = ()
    transforms: ListOf[Gzip | OpenPgp] = ()
    only: Filter | None = None
    after_delivery: AfterDelivery = KEEP
    windows: ListOf[Window] = ()
    holidays: ListOf[str] = ()
    cut_off: str | None = None
    max_drops: Rate | None = None
    examples: ListOf[str] = field(default=(), compare=False)
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        self._check_types()
        check_template("name", self.name, NAME_FIELDS)
        if self.temporary is not None:
            check_template("temporary", self.temporary, TEMPORARY_FIELDS)
        self._check_values()
        check_names(
            self.name,
            cased=self.in_case,
            longest=self.max_name_length,
            allowed=self.allowed_names,
            start=self.sequence.start if self.sequence else 1,
        )
        if self.temporary is not None:
            check_temporary(self.temporary, name=self.name, if_exists=self.if_exists)
        self._check_sequence()
        self._check_direct()
        check_timing(self.windows, self.holidays, self.cut_off, self.max_drops)
        check_files(self.name, [each.name for each in self.companions], self.temporary)
        check_together(self)
        object.__setattr__(self, "companions", tuple(self.companions))
        object.__setattr__(self, "transforms", tuple(self.transforms))
        object.__setattr__(self, "windows", tuple(self.windows))
        object.__setattr__(self, "holidays", tuple(self.holidays))
        object.__setattr__(self, "examples", tuple(self.examples))

    @cached_property
    def zone(self) -> tzinfo:
        """The time zone of names. UTC needs no database of time zones."""
        return UTC if self.time_zone == "UTC" else zoneinfo.ZoneInfo(self.time_zone)

    @property
    def is_direct(self) -> bool:
        """Whether files are written under their final names."""
        return self.temporary == FINAL_NAME

    @property
    def metadata_used(self) -> tuple[str, ...]:
        """Names of the object's metadata that the rules use."""
        return self._indexes("metadata")

    @property
    def tags_used(self) -> tuple[str, ...]:
        """Names of the object's tags that the rules use."""
        filtered = self.only.tag_values if self.only else {}
        return tuple(sorted({*self._indexes("tag"), *filtered}))

    @property
    def uses_event_time(self) -> bool:
        """Whether the rules use the time of the object's event."""
        return (
            self.preserve_time
            or any(template.uses("event_time") for template in self.templates)
            or any(each.uses_event_time for each in self.transforms)
        )

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """All templates of names and contents of files."""
        texts = [self.name, *(text for each in self.companions for text in (each.name, each.content))]
        return tuple(map(Template, texts))

    def in_case(self, name: str) -> str:
        """Return a file name in the case of the rules."""
        return {Case.UPPER: name.upper, Case.LOWER: name.lower, None: name.__str__}[self.case]()

    def _indexes(self, name: str) -> tuple[str, ...]:
        return tuple(sorted({index for template in self.templates for index in template.names_of(name)}))

    def _check_types(self) -> None:
        for rule, given, kind, wanted in (
            ("case", self.case, Case, "Case.UPPER or Case.LOWER"),
            ("sequence", self.sequence, Sequence, "a Sequence(...)"),
            ("temporary", self.temporary, str, "a text with fields in braces"),
            ("allowed_names", self.allowed_names, str, "a regular expression"),
        ):
            if given is not None:
                require_type(rule, given, kind, wanted=wanted)
        require_type(
            "if_exists", self.if_exists, IfExists, wanted="IfExists.REPLACE, REFUSE, SKIP or NEW_NAME"
        )
        require_type("time_zone", self.time_zone, str, wanted="a name such as Europe/Zurich")
        require_type("preserve_time", self.preserve_time, bool, wanted="True or False")
        require_type("require_attributes", self.require_attributes, bool, wanted="True or False")
        require_type("source", self.source, str, wanted="a text")
        require_items("companions", self.companions, Companion, wanted="companions, as Companion.marker(...)")
        if len(self.companions) > _MOST_COMPANIONS:
            raise InvalidRule("companions", f"must be at most {_MOST_COMPANIONS}, got {len(self.companions)}")
        require_items(
            "transforms", self.transforms, Gzip, OpenPgp, wanted="transforms, as Gzip() or OpenPgp(...)"
        )
        require_items("examples", self.examples, str, wanted="keys")
        check_filter(self.only)
        check_after(self.after_delivery)

    def _check_values(self) -> None:
        if self.max_name_length is not None:
            require_range("max_name_length", self.max_name_length, 1, _LONGEST_NAME)
        if self.mode is not None:
            require_type("mode", self.mode, int, wanted="permission bits such as 0o664")
            if not 0 <= self.mode <= 0o777:
                raise InvalidRule(
                    "mode",
                    f"must be 0o000-0o777, got {self.mode}, which is {self.mode:#o}: write 0o in front of "
                    "octal digits, as in 0o664",
                )
            if self.mode in _DECIMAL_MODES:
                raise InvalidRule(
                    "mode",
                    f"must be written in octal, got {self.mode}, which is {self.mode:#o}: write "
                    f"0o{self.mode}",
                )
            if not self.mode & 0o400:
                raise InvalidRule("mode", f"must let the login read its own file (0o400), got {self.mode:#o}")
        if self.require_attributes and self.mode is None and not self.preserve_time:
            raise InvalidRule("require_attributes", "needs mode or preserve_time, got neither")
        if self.require_attributes and self.is_direct:
            raise InvalidRule(
                "require_attributes",
                f"needs a temporary name, got temporary={FINAL_NAME!r}: the partner would have the file "
                "before its attributes are set",
            )
        if not is_zone(self.time_zone):
            raise InvalidRule(
                "time_zone",
                f"must be a name of the IANA database such as Europe/Zurich, got {self.time_zone!r}",
            )
        if self.allowed_names is not None:
            check_expression("allowed_names", self.allowed_names)

    def _check_sequence(self) -> None:
        is_used = any(template.uses("sequence") for template in self.templates)
        if (self.sequence is None) == is_used:
            missing = "no sequence is given: add sequence=Sequence()" if is_used else "no name has {sequence}"
            raise InvalidRule("sequence", f"and the field {{sequence}} belong together, but {missing}")
        if self.sequence is None:
            return
        if Template(self.name).uses("sequence"):
            check_number(self.name, self.temporary)
        if self.if_exists in (IfExists.SKIP, IfExists.NEW_NAME):
            raise InvalidRule(
                "if_exists",
                f"must be REPLACE or REFUSE with a sequence, got {self.if_exists.name}: a number would be "
                "lost",
            )
        forms = "".join(f.form for f in Template(self.name).fields if f.name == "delivery_time")
        tells = {Reset.NEVER: True, Reset.DAY: tells_days_apart(forms), Reset.YEAR: tells_years_apart(forms)}
        if Template(self.name).uses("sequence") and not tells[self.sequence.reset]:
            raise InvalidRule(
                "name",
                f"must have {{delivery_time:...}} with the {self.sequence.reset}, since the sequence begins "
                f"again each {self.sequence.reset}, got {self.name!r}: names would repeat",
            )

    def _check_direct(self) -> None:
        for companion in self.companions:
            content = Template(companion.content)
            if self.is_direct and companion.before and content.uses("bytes", "sha256", "md5"):
                raise InvalidRule(
                    "companions",
                    f"must not say bytes or checksums before the data if temporary is {FINAL_NAME!r}, got "
                    f"{companion.name!r}: they are known when the data is sent",
                )
