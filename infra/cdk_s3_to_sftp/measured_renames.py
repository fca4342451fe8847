"""Whether the partner's server does the RENAMEs that rules need, as the function sends them.

The function publishes a file that replaces with `posix-rename@openssh.com` where the server offers it, and
all others with the RENAME of version 3. Where neither replaces a file, it is moved aside by the latter.
"""

import posixpath
from collections.abc import Iterator

from cdk_s3_to_sftp.rule_advice import Advice, joined_advice
from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.measured_server import OK, MeasuredServer
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.name_checks import FINAL_NAME
from s3_to_sftp.sftp_status import Status

_TARGET_EXISTS = (Status.FAILURE, Status.FILE_ALREADY_EXISTS)
"""After another status the function does not move the file aside: see `s3_to_sftp.sftp.publish`."""

_DIRECT = Advice(
    text="set temporary='{name}', with a marker after the data", changes={"temporary": FINAL_NAME}
)


def contradictions_of_names(rules: DeliveryRules, measured: MeasuredServer) -> Iterator[str]:
    """Yield what the rules about temporary and existing names demand and the server does not do."""

    def is_wrong(changed: DeliveryRules) -> bool:
        return any(find(changed, measured) for find in (_publishing, _directories, _existing))

    if found := _publishing(rules, measured) or _directories(rules, measured):
        within = posixpath.basename(rules.temporary or "")
        advice = joined_advice(
            rules,
            Advice(text=f"set temporary={within!r}", changes={"temporary": within or None}),
            Advice(text="leave temporary out", changes={"temporary": None}),
            _DIRECT,
            _if_exists(IfExists.REFUSE),
            is_wrong=is_wrong,
            otherwise="ask the partner to allow it",
        )
        yield f"temporary is {rules.temporary!r}, but {found}: {advice}."
    if found := _existing(rules, measured):
        advice = joined_advice(
            rules,
            *map(_if_exists, (IfExists.REFUSE, IfExists.SKIP, IfExists.NEW_NAME)),
            _DIRECT,
            is_wrong=is_wrong,
            otherwise="ask the partner to allow it",
        )
        yield f"if_exists is REPLACE, but {found}: {advice}."


def showed(measured: MeasuredServer) -> str:
    """Return which server showed something, and when, as the begin of a sentence."""
    return f"{measured.server} showed on {measured.measured_at}"


def _publishing(rules: DeliveryRules, measured: MeasuredServer) -> str:
    """Return why no file can be published under a name that is free; empty: nothing shows that."""
    if rules.is_direct:
        return ""
    which, code = _rename_used(rules, measured)
    if code in (None, OK):
        return ""
    return f"{showed(measured)} that it refuses {which} (status {code})"


def _rename_used(rules: DeliveryRules, measured: MeasuredServer) -> tuple[str, int | None]:
    over = measured.answer("posix_rename_over_existing")
    if rules.if_exists is not IfExists.REPLACE or over is None:
        return "RENAME", measured.answer("rename")
    return "posix-rename@openssh.com", OK if over == OK else measured.answer("posix_rename")


def _directories(rules: DeliveryRules, measured: MeasuredServer) -> str:
    """Return why no file can be published from another directory; empty: nothing shows that."""
    if rules.is_direct or not posixpath.dirname(rules.temporary or ""):
        return ""
    across = "rename_across_directories"
    is_posix = (
        rules.if_exists is IfExists.REPLACE and measured.answer("posix_rename_over_existing") is not None
    )
    code = measured.answer(f"posix_{across}" if is_posix else across)
    if code in (None, OK):
        return ""
    return f"{showed(measured)} that it does not rename from one directory into another (status {code})"


def _existing(rules: DeliveryRules, measured: MeasuredServer) -> str:
    """Return why no file can replace another one; empty: nothing shows that."""
    if rules.if_exists is not IfExists.REPLACE or rules.is_direct:
        return ""
    over = "posix_rename_over_existing"
    over = over if measured.answer(over) is not None else "rename_over_existing"
    code = measured.answer(over)
    if code in (None, OK):
        return ""
    aside = [name for name in ("rename", "remove") if measured.answer(name) not in (None, OK)]
    if code in _TARGET_EXISTS and not aside:
        return ""
    shown = ", ".join(f"{name.replace('_', ' ')}: status {measured.answer(name)}" for name in (over, *aside))
    return (
        f"{showed(measured)} that an existing file can be neither replaced, nor moved aside and removed "
        f"({shown})"
    )


def _if_exists(value: IfExists) -> Advice:
    return Advice(text=f"set if_exists=IfExists.{value.name}", changes={"if_exists": value})
