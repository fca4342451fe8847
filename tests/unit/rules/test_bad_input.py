"""Each wrong value has its sentence: what is wrong, what was given, what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.rules.after_delivery import AfterAction, AfterDelivery
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import Case, DeliveryRules
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.sequence import Reset, Sequence

MARKER = Companion.marker("{name}.done")
RULES: list[tuple[dict[str, Any], str]] = [
    (
        {"after_delivery": "delete"},
        "after_delivery must be AfterDelivery.keep(), tag(...), move(...) or delete(), got 'delete'",
    ),
    ({"name": None}, "name must be a text with fields in braces, got None"),
    ({"name": b"{key}"}, "name must be a text with fields in braces, got b'{key}'"),
    (
        {"name": ""},
        "name must have a field that tells two objects apart, such as {stem} or {sequence}, got ''",
    ),
    ({"name": "data.csv"}, "name must have a field that tells two objects apart"),
    ({"name": "{folder}data{ext}"}, "name must have a field that tells two objects apart"),
    ({"name": "{event_time:%Y%m%d%H%M%S}.csv"}, "name must have a field that tells two objects apart"),
    (
        {"name": "/{key}"},
        "name must be a path below the remote directory without '/' at its ends, got '/{key}'",
    ),
    ({"name": "{stem}/"}, "name must be a path below the remote directory without '/' at its ends"),
    (
        {"name": "../{key}"},
        "name must give names that can be remote paths, got '../{key}': '..' as a directory",
    ),
    (
        {"name": "a/./{key}"},
        "name must give names that can be remote paths, got 'a/./{key}': '.' as a directory",
    ),
    ({"name": "a//{key}"}, "name must give names that can be remote paths, got 'a//{key}'"),
    ({"name": "{folder}/{name}"}, "name must give names that can be remote paths, got '{folder}/{name}'"),
    (
        {"name": "a\n{key}"},
        "name must give names that can be remote paths, got 'a\\n{key}': it holds a control",
    ),
    ({"name": "\u202e{key}"}, "it holds a character that reorders text"),
    ({"name": "..\\{key}"}, "on a Windows server"),
    ({"name": "a" * 255 + "{name}"}, "a name in it is longer than 255 bytes"),
    (
        {"name": "{partner}"},
        "name has the unknown field {partner}, got '{partner}': the fields are {delivery_time}",
    ),
    ({"name": "{token}{key}"}, "name has the unknown field {token}"),
    ({"name": "{sha256}{key}"}, "name has the unknown field {sha256}"),
    (
        {"name": "{tag[aws:id]}_{name}"},
        "name must have names of 1-128 characters without 'aws:' in front, which S3 keeps for itself, got "
        "'aws:id'",
    ),
    ({"name": f"{{tag[{'a' * 129}]}}_{{name}}"}, "name must have names of 1-128 characters"),
    (
        {"name": "{tag[a;b]}_{name}"},
        "name must consist of letters, digits, blanks and + - = . _ : / @, got ';' in 'a;b'",
    ),
    (
        {"name": "{metadata[x-amz-meta-id]}_{name}"},
        "name must have names of metadata without 'x-amz-meta-' in front, got 'x-amz-meta-id'",
    ),
    ({"name": "{metadata[a b]}_{name}"}, "name must have names of metadata that can be the name of an HTTP"),
    (
        {"name": "{metadata[größe]}_{name}"},
        "name must have names of metadata that can be the name of an HTTP",
    ),
    ({"name": f"{{metadata[{'a' * 2049}]}}{{name}}"}, "name must have names of metadata that can be"),
    (
        {
            "name": "".join(f"{{tag[{n}]}}" for n in range(6)),
            "only": Filter(tags={f"f{n}": "" for n in range(5)}),
        },
        "name must use at most 10 tags together with 'companions' and 'only', which is what S3 allows of one "
        "object, got 11",
    ),
    (
        {
            "only": Filter(tags={f"f{n}": "" for n in range(6)}),
            "after_delivery": AfterDelivery.tag({f"t{n}": "" for n in range(5)}),
        },
        "after_delivery must leave an object at most 10 tags, which is what S3 allows, got 5 new ones "
        "beside 6 "
        "that 'name', 'companions' and 'only' use",
    ),
    ({"time_zone": None}, "time_zone must be a name such as Europe/Zurich, got None"),
    ({"time_zone": ""}, "time_zone must be a name of the IANA database such as Europe/Zurich, got ''"),
    (
        {"time_zone": "CEST"},
        "time_zone must be a name of the IANA database such as Europe/Zurich, got 'CEST'",
    ),
    ({"time_zone": "Europe"}, "time_zone must be a name of the IANA database"),
    ({"time_zone": "../etc/passwd"}, "time_zone must be a name of the IANA database"),
    ({"time_zone": "/etc/localtime"}, "time_zone must be a name of the IANA database"),
    ({"time_zone": "Europe/Zürich\0"}, "time_zone must be a name of the IANA database"),
    ({"time_zone": "\ud800"}, "time_zone must be a name of the IANA database"),
    ({"time_zone": "a" * 5000}, "time_zone must be a name of the IANA database"),
    ({"case": "upper"}, "case must be Case.UPPER or Case.LOWER, got 'upper'"),
    ({"max_name_length": 0}, "max_name_length must be 1-255, got 0"),
    ({"max_name_length": 256}, "max_name_length must be 1-255, got 256"),
    ({"max_name_length": "40"}, "max_name_length must be a whole number from 1 to 255, got '40'"),
    ({"max_name_length": 4.0}, "max_name_length must be a whole number from 1 to 255, got 4.0"),
    ({"max_name_length": True}, "max_name_length must be a whole number from 1 to 255, got True"),
    (
        {"name": "BATCH_{stem}.csv", "max_name_length": 10},
        "max_name_length must be at least 11 with the name 'BATCH_{stem}.csv', got 10: no name fits",
    ),
    (
        {"name": "in/{stem}_{event_time:%Y%m%d}.csv", "max_name_length": 13},
        "max_name_length must be at least 14",
    ),
    (
        {"name": "{sequence:06d}.csv", "sequence": Sequence(), "max_name_length": 9},
        "max_name_length must be at least 10",
    ),
    ({"allowed_names": "[A-Z"}, "allowed_names must be a regular expression, got '[A-Z': unterminated"),
    ({"allowed_names": "a{99999999999}"}, "allowed_names must be a regular expression"),
    ({"allowed_names": re.compile("a")}, "allowed_names must be a regular expression, got re.compile('a')"),
    ({"allowed_names": "a" * 1001}, "allowed_names must have at most 1000 characters, got 1001"),
    (
        {"allowed_names": ""},
        "allowed_names must match names, which have 1-255 characters, got '': it matches 0",
    ),
    ({"allowed_names": "^$"}, "allowed_names must match names, which have 1-255 characters, got '^$'"),
    ({"allowed_names": "(?!)"}, "allowed_names must match names, which have 1-255 characters"),
    (
        {"allowed_names": "a{300}"},
        "allowed_names must match names, which have 1-255 characters, got 'a{300}'",
    ),
    (
        {"name": "{name}", "allowed_names": "[A-Z]{10,12}", "max_name_length": 5},
        "allowed_names must match names, which have 1-5 characters, got '[A-Z]{10,12}': it matches 10-12",
    ),
    (
        {"name": "BATCH_{stem}.csv", "allowed_names": "[A-Z_.a-z]{4}"},
        "allowed_names must match names, which have 11-255 characters, got '[A-Z_.a-z]{4}': it matches 4",
    ),
    (
        {"name": "{stem:.3}.csv", "max_name_length": 6, "if_exists": IfExists.NEW_NAME},
        "max_name_length must be at least 7 with if_exists NEW_NAME, got 6: no name has room for the '-2' "
        "of a "
        "new one",
    ),
    (
        {"name": "{stem}.csv", "allowed_names": r"[a-z]+\.csv", "if_exists": IfExists.NEW_NAME},
        "allowed_names must match new names with if_exists NEW_NAME, got '[a-z]+\\\\.csv': it lets no name "
        "with "
        "'-' through, and the second name of a.csv is a-2.csv",
    ),
    (
        {"name": "{name}", "allowed_names": r"[A-Z-]+", "if_exists": IfExists.NEW_NAME},
        "it lets no name with '2' through",
    ),
    (
        {"name": "{stem}" + "a" * 240, "temporary": "{name}.partial"},
        "temporary must leave 36 bytes of 255 for what is added while a file is written, got "
        "'{name}.partial': "
        "the shortest name has 249 bytes",
    ),
    ({"temporary": "{name}" + "x" * 240}, "temporary must leave 36 bytes of 255"),
    ({"temporary": "x" * 230 + "{token}"}, "temporary must leave 36 bytes of 255"),
    (
        {"name": "{stem}" + "a" * 250, "companions": [Companion.checksum("sha256")]},
        "companions must have names of at most 255 bytes, got '{name}.sha256' beside",
    ),
    (
        {"time_zone": "localtime"},
        "time_zone must be a name of the IANA database such as Europe/Zurich, got 'loc",
    ),
    (
        {"time_zone": "Factory"},
        "time_zone must be a name of the IANA database such as Europe/Zurich, got 'Fac",
    ),
    ({"time_zone": "right/UTC"}, "time_zone must be a name of the IANA database such as Europe/Zurich"),
    ({"time_zone": "posixrules"}, "time_zone must be a name of the IANA database such as Europe/Zurich"),
    (
        {"only": Filter(prefixes=["../x/"])},
        "only.prefixes must have some keys that can be remote paths, got '../x/': '../x/*' has a name that "
        "no "
        "file or directory can have, '..'",
    ),
    ({"only": Filter(prefixes=["a//b"])}, "only.prefixes must have some keys that can be remote paths"),
    ({"only": Filter(suffixes=["/./x"])}, "only.suffixes must have some keys that can be remote paths"),
    ({"only": Filter(prefixes=["a\0/"])}, "only.prefixes must have some keys that can be remote paths"),
    (
        {
            "after_delivery": AfterDelivery.move(prefix="a" * 1000 + "/"),
            "only": Filter(prefixes=["b" * 10, "c" * 12], suffixes=["d" * 20]),
        },
        "after_delivery.prefix must leave room for the key, got 1001 bytes: with the shortest key that "
        "'only' lets "
        "through the new key has 1031, and S3 takes 1024",
    ),
    ({"allowed_names": "(a+)+"}, "allowed_names must not repeat a group that is only a repeated character"),
    ({"allowed_names": r"(?:[A-Z_]*)*\.CSV"}, "allowed_names must not repeat a group"),
    ({"allowed_names": r"(?P<x>\w+){2,}"}, "allowed_names must not repeat a group"),
    (
        {"name": "{stem}-{event_time:%Y}.csv", "allowed_names": r"[a-z0-9]+\.csv"},
        "must match names of the rule 'name', got '[a-z0-9]+\\\\.csv': no name with '-' matches",
    ),
    (
        {"name": "{stem}_{event_time:%Y%m%dT%H%M%S}", "allowed_names": "[a-z0-9_]+"},
        "no name with 'T' matches, and all names of '{stem}_{event_time:%Y%m%dT%H%M%S}' have it",
    ),
    (
        {"name": "{stem}.csv", "case": Case.UPPER, "allowed_names": "[a-z.]+"},
        "no name with 'C' matches, and",
    ),
    (
        {"name": "{sequence:05d}", "sequence": Sequence(), "allowed_names": r"\d{6}"},
        "got '\\\\d{6}': names of '{sequence:05d}' do not, as '00001'",
    ),
    (
        {
            "name": "in/A{delivery_time:%y%m%d}{sequence:03d}",
            "sequence": Sequence(),
            "allowed_names": r"A20\d{9}",
        },
        "do not, as 'A240101001'",
    ),
    ({"temporary": ""}, "temporary must follow from the final name, as '{name}.partial' does, got ''"),
    ({"temporary": "upload.tmp"}, "temporary must follow from the final name"),
    ({"temporary": "{name:.20}.partial"}, "temporary must follow from the final name"),
    ({"temporary": "{ext}.partial"}, "temporary must follow from the final name"),
    ({"temporary": "{stem}.prg"}, "temporary must have {name} or {token}, got '{stem}.prg'"),
    ({"temporary": "{key}.prg"}, "temporary has the unknown field {key}"),
    (
        {"temporary": "{stem}{ext}"},
        "temporary must be '{name}' to write under the final name, got '{stem}{ext}'",
    ),
    (
        {"name": "{sequence}.csv", "sequence": Sequence(), "temporary": "{stem}{ext}"},
        "temporary must be another name than the final one with {sequence} in the name, got '{stem}{ext}'",
    ),
    ({"temporary": "~/{name}"}, "temporary must be a name, or a path without '~' and '/' at its end"),
    ({"temporary": "{name}/"}, "temporary must be a name, or a path without '~' and '/' at its end"),
    ({"temporary": "{name}/x"}, "temporary must have its fields in the file name, got '{name}/x'"),
    ({"temporary": "../{name}"}, "temporary must give names that can be remote paths, got '../{name}'"),
    ({"temporary": "/a/../{name}"}, "temporary must give names that can be remote paths"),
    ({"temporary": "//a/{name}"}, "temporary must give names that can be remote paths"),
    ({"temporary": "{name}\0"}, "temporary must give names that can be remote paths"),
    ({"temporary": 5}, "temporary must be a text with fields in braces, got 5"),
    (
        {"temporary": "{name}.x", "if_exists": IfExists.NEW_NAME},
        "temporary must have {token} with if_exists NEW_NAME",
    ),
    (
        {"name": "{stem}.csv", "temporary": "{stem}.csv"},
        "temporary must give each file of an object its own name",
    ),
    (
        {"name": "{stem}.asc", "temporary": "{stem}.prg", "companions": [Companion.marker("{stem}.done")]},
        "temporary must give each file of an object its own name",
    ),
    (
        {"temporary": "{name}.part", "companions": [Companion.marker("{name}.part")]},
        "temporary must give each file of an object its own name",
    ),
    ({"if_exists": "refuse"}, "if_exists must be IfExists.REPLACE, REFUSE, SKIP or NEW_NAME, got 'refuse'"),
    ({"if_exists": None}, "if_exists must be IfExists.REPLACE, REFUSE, SKIP or NEW_NAME, got None"),
    ({"mode": 664}, "mode must be 0o000-0o777, got 664, which is 0o1230: write 0o in front of octal digits"),
    ({"mode": -1}, "mode must be 0o000-0o777, got -1"),
    ({"mode": "664"}, "mode must be permission bits such as 0o664, got '664'"),
    ({"mode": True}, "mode must be permission bits such as 0o664, got True"),
    ({"mode": 0o044}, "mode must let the login read its own file (0o400), got 0o44"),
    ({"preserve_time": 1}, "preserve_time must be True or False, got 1"),
    ({"require_attributes": "yes"}, "require_attributes must be True or False, got 'yes'"),
    (
        {"temporary": "/staging/{name}"},
        "temporary must have {token} if it has a directory, got '/staging/{name}': files of several "
        "directories, or of several deployments, would meet there under the same name. Write "
        "'/staging/{token}_{name}'",
    ),
    ({"mode": 440}, "mode must be written in octal, got 440, which is 0o670: write 0o440"),
    (
        {"name": "~/{name}"},
        "name must begin and end with what is to be seen, and without '~' in front, got '~/{name}'",
    ),
    (
        {"name": "{stem}.csv "},
        "name must begin and end with what is to be seen, and without '~' in front, got '{stem}.csv '",
    ),
    (
        {"allowed_names": r"/inbox/[a-z]+\.csv"},
        "allowed_names must match file names, which have no '/', got '/inbox/[a-z]+\\\\.csv': leave "
        "directories out",
    ),
    ({"require_attributes": True}, "require_attributes needs mode or preserve_time, got neither"),
    (
        {"require_attributes": True, "mode": 0o640, "temporary": "{name}"},
        "require_attributes needs a temporary name, got temporary='{name}': the partner would have the file "
        "before its attributes are set",
    ),
    ({"sequence": 1}, "sequence must be a Sequence(...), got 1"),
    (
        {"sequence": Sequence()},
        "sequence and the field {sequence} belong together, but no name has {sequence}",
    ),
    ({"name": "{sequence}"}, "but no sequence is given: add sequence=Sequence()"),
    ({"name": "{sequence}/{stem}", "sequence": Sequence()}, "name must have {sequence} in the file name"),
    (
        {"name": "{sequence}", "sequence": Sequence(), "if_exists": IfExists.SKIP},
        "if_exists must be REPLACE or REFUSE with a sequence, got SKIP",
    ),
    (
        {"name": "{sequence}", "sequence": Sequence(reset=Reset.DAY)},
        "name must have {delivery_time:...} with the day, since the sequence begins again each day",
    ),
    (
        {"companions": MARKER},
        "companions must be a list of companions, as Companion.marker(...), got Companion(",
    ),
    ({"companions": "{name}.done"}, "companions must be a list of companions"),
    (
        {"companions": ["{name}.done"]},
        "companions must be a list of companions, as Companion.marker(...), got '{name}",
    ),
    ({"companions": (each for each in [MARKER])}, "companions must be a list of companions"),
    ({"companions": None}, "companions must be a list of companions, as Companion.marker(...), got None"),
    ({"companions": [MARKER, MARKER]}, "companions must have different names, got '{name}.done' twice"),
    (
        {"companions": [Companion.marker(f"{{name}}.{number}") for number in range(9)]},
        "companions must be at most 8, got 9",
    ),
    (
        {"companions": [MARKER, Companion.marker("{stem}{ext}.done")]},
        "companions must have other names than the data and each other, got '{name}.done', '{stem}{ext}",
    ),
    (
        {"name": "{stem}.csv", "companions": [Companion.marker("{stem}.CSV")]},
        "companions must have other names than the data and each other",
    ),
    (
        {"temporary": "{name}", "companions": [Companion.checksum("md5", before=True)]},
        "companions must not say bytes or checksums before the data if temporary is '{name}'",
    ),
    ({"examples": "a.csv"}, "examples must be a list of keys, got 'a.csv'"),
    ({"examples": [1]}, "examples must be a list of keys, got 1 in it"),
    ({"source": None}, "source must be a text, got None"),
]


@pytest.mark.parametrize(("settings", "sentence"), RULES)
def test_wrong_rule_has_its_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRule, match=re.escape(sentence)) as caught:
        DeliveryRules(**settings)
    assert str(caught.value) == f"{caught.value.rule} {caught.value.complaint}"
    assert caught.value.rule.partition(".")[0] in vars(DeliveryRules())


OTHERS: list[tuple[Callable[[], object], str]] = [
    (
        lambda: AfterDelivery(action=AfterAction.DELETE, prefix="a/"),
        "after_delivery.prefix must be left out where the action is delete, got 'a/': it is of move",
    ),
    (
        lambda: AfterDelivery(action=AfterAction.MOVE, prefix="a/", tags=(("a", "b"),)),
        "after_delivery.tags must be left out where the action is move, got (('a', 'b'),): it is of tag",
    ),
    (
        lambda: AfterDelivery(bucket="archive"),
        "after_delivery.bucket must be left out where the action is keep, got 'archive': it is of move",
    ),
    (
        lambda: AfterDelivery.move(prefix="../x/"),
        "after_delivery.prefix must not have '.' or '..' between '/', which S3 may refuse as a path, got "
        "'../x/'",
    ),
    (
        lambda: AfterDelivery.move(prefix="a/./b/"),
        "after_delivery.prefix must not have '.' or '..' between '/'",
    ),
    (
        lambda: AfterDelivery.move(prefix="a\n/"),
        "after_delivery.prefix must not hold control characters, got",
    ),
    (lambda: AfterDelivery.move(prefix="\ud800/"), "after_delivery.prefix must be valid Unicode, got"),
    (lambda: AfterDelivery.move(bucket="192.168.1.1"), "after_delivery.bucket must be the name of a bucket"),
    (lambda: AfterDelivery.move(bucket="a..b"), "after_delivery.bucket must be the name of a bucket"),
    (lambda: AfterDelivery.move(bucket="xn--abc"), "after_delivery.bucket must be the name of a bucket"),
    (lambda: AfterDelivery.move(bucket="abc-s3alias"), "after_delivery.bucket must be the name of a bucket"),
    (
        lambda: AfterDelivery.move(bucket="abc--euw1-az1--x-s3"),
        "after_delivery.bucket must be the name of a bu",
    ),
    (
        lambda: Companion.marker("done"),
        "companions must have names that follow from the data, as '{name}.done' does",
    ),
    (lambda: Companion.marker("{ext}.done"), "companions must have names that follow from the data"),
    (
        lambda: Companion.marker("{event_time:%Y%m%d}.done"),
        "companions must have names that follow from the data",
    ),
    (lambda: Companion.marker("{name}"), "companions must have another name than the data, got '{name}'"),
    (
        lambda: Companion.marker("{stem}{ext}"),
        "companions must have another name than the data, got '{stem}{ext}'",
    ),
    (
        lambda: Companion.marker("ok/{name}"),
        "companions must be in the directory of the data, got '/' in the name",
    ),
    (lambda: Companion.marker("../{name}"), "companions must be in the directory of the data"),
    (
        lambda: Companion.marker("{name}\n"),
        "companions must have names that a file can have, got '{name}\\n'",
    ),
    (lambda: Companion.marker("{name}" + "a" * 255), "companions must have names that a file can have"),
    (lambda: Companion.marker("{key}.done"), "companions has the unknown field {key}"),
    (lambda: Companion.marker("{tag[x]}{name}"), "companions has the unknown field {tag[x]}"),
    (lambda: Companion.marker(None), "companions must be a text with fields in braces, got None"),  # type: ignore[arg-type]
    (lambda: Companion.marker("{name}.d", before=1), "before must be True or False, got 1"),  # type: ignore[arg-type]
    (lambda: Companion.checksum("sha1"), "checksum must be one of sha256, md5, got 'sha1'"),
    (lambda: Companion.checksum("SHA256"), "checksum must be one of sha256, md5, got 'SHA256'"),
    (lambda: Companion.checksum([]), "checksum must be one of sha256, md5, got []"),  # type: ignore[arg-type]
    (
        lambda: Companion.document("{name}.x", ""),
        "content must not be empty, got '': an empty file is Companion.marker",
    ),
    (lambda: Companion.document("{name}.x", None), "content must be a text with fields in braces, got None"),  # type: ignore[arg-type]
    (lambda: Companion.document("{name}.x", "{part[0]}"), "companions has the unknown field {part[0]}"),
    (
        lambda: Companion.document("{name}.x", "a", encoding="utf8"),
        "encoding must be one of utf-8, ascii, latin-1",
    ),
    (
        lambda: Companion.document("{name}.x", "ü", encoding="ascii"),
        "encoding must be one that can write the content",
    ),
    (
        lambda: Companion.document("{name}.x", "{bytes:.2f}"),
        "companions must write {bytes} as a whole number",
    ),
    (lambda: Sequence(start=-1), "start must be 0-1000000000000000, got -1"),
    (lambda: Sequence(start="1"), "start must be a whole number from 0 to 1000000000000000, got '1'"),  # type: ignore[arg-type]
    (lambda: Sequence(start=True), "start must be a whole number"),
    (lambda: Sequence(reset="day"), "reset must be one of Reset.NEVER, DAY, YEAR, got 'day'"),  # type: ignore[arg-type]
    (lambda: Sequence(name=""), "sequence must have a name of up to 64 letters, digits and '._-', got ''"),
    (
        lambda: Sequence(name="-set"),
        "sequence must have a name that begins with a letter or digit, got '-set'",
    ),
    (lambda: Sequence(name="a/b"), "sequence must have a name of up to 64 letters"),
    (lambda: Sequence(name="a\n"), "sequence must have a name of up to 64 letters"),
    (lambda: Sequence(name="a" * 65), "sequence must have a name of up to 64 letters"),
    (lambda: Sequence(name=None), "sequence must have a name of up to 64 letters"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "sentence"), OTHERS)
def test_wrong_part_of_a_rule_has_its_sentence(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InvalidRule, match=re.escape(sentence)):
        make()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"name": "{stem}.asc", "temporary": "{stem}.prg", "mode": 0o664},
        {"allowed_names": r"([A-Z0-9]+_)*[A-Z0-9]+\.CSV"},
        {"allowed_names": r"[(a+)+]+|\((a+)\)+|(\d{2})+|(ab+)+"},
        {"name": "a_{key}", "allowed_names": "[b-z/]+"},
        {"name": "a{folder}{stem}.x", "allowed_names": r"[b-z]+\.x"},
        {"name": "a_{folder}{stem}", "max_name_length": 1},
        {"name": "{tag[x]}", "max_name_length": 1},
        {"temporary": "/staging/{token}"},
        {"temporary": "staging/{name}.{token}"},
        {"temporary": "tmp_{stem}{ext}"},
        {"time_zone": "America/Argentina/Buenos_Aires"},
        {"mode": 0o400, "require_attributes": True},
        {"companions": []},
        {"name": "{{{key}}}"},
    ],
)
def test_rule_that_can_work_is_accepted(settings: dict[str, Any]) -> None:
    assert DeliveryRules(**settings)
