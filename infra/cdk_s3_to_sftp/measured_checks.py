"""What of an app contradicts what the partner's server showed. Each contradiction is an error at synth.

Only what was tried can contradict: where a measurement says nothing, nothing is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from constructs import Construct

from cdk_s3_to_sftp.annotations import validate_with
from cdk_s3_to_sftp.arguments import is_token
from cdk_s3_to_sftp.function_settings import FunctionSettings, connections_per_function
from cdk_s3_to_sftp.measured_renames import contradictions_of_names, showed
from cdk_s3_to_sftp.rule_advice import Advice, joined_advice
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sources import Source
from s3_to_sftp.algorithm_rule import WEAK, AlgorithmRule, Kind, Policy
from s3_to_sftp.measured_server import LONGEST_NAME, OK, MeasuredServer
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.name_lengths import longest_data_name, names_beside

_AUTHORITY = "@cert-authority"
_LEFT_OUT = {"mode": None, "preserve_time": False}
_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


def refuse_at_synth_what_contradicts(
    scope: Construct, settings: FunctionSettings, sources: Callable[[], Sequence[Source]]
) -> None:
    """Make each contradiction an error of synth, when all sources are known.

    Args:
        scope: The construct.
        settings: Of the function.
        sources: Returns all sources of the construct.
    """
    measured = settings.server.measured
    if measured is None:
        return

    def look() -> list[str]:
        found = [*_of_server(settings.server, measured), *_of_streams(settings.max_connections, measured)]
        for directory in _directories(settings.server, sources()):
            found += _of_directory(directory, measured)
        for rules in _rules(settings.server, sources()):
            found += contradictions(rules, measured)
        return [f"{each} {_AGAIN}" for each in dict.fromkeys(found)]

    validate_with(scope, look)


_AGAIN = "If the server has changed since then, measure it again (s3-to-sftp doctor --save FILE)."


def contradictions(rules: DeliveryRules, measured: MeasuredServer) -> Iterator[str]:
    """Yield what rules demand and the server does not do, as sentences: rule, what it showed, what to do."""
    yield from contradictions_of_names(rules, measured)
    yield from _of_attributes(rules, measured)
    if measured.longest_name < LONGEST_NAME:
        yield from _of_lengths(rules, measured)


def _of_lengths(rules: DeliveryRules, measured: MeasuredServer) -> Iterator[str]:
    most, longest = measured.longest_name, longest_data_name(rules)
    shows = f"but {showed(measured)} that it takes names of {most} characters at most"
    shorter = _longest_that_fits(rules, most)
    if longest > most:
        given = "is not given" if rules.max_name_length is None else f"is {rules.max_name_length}"
        if shorter or not _is_allowed(rules, most):
            instead = f"set max_name_length={shorter}" if shorter else "give name a template of shorter names"
            yield f"max_name_length {given}, {shows}: {instead}."
            return
    for name in names_beside(rules, min(longest, most)):
        if name.length > most:
            given = f"{name.template!r}" if name.template else "not given"
            added = f", {name.added} of them added while a file is written" if name.added else ""
            instead = f"set max_name_length={shorter}" if shorter else f"write a shorter name in {name.rule}"
            yield (
                f"{name.rule} is {given}, which makes names of up to {name.length} characters{added}, "
                f"{shows}: {instead}."
            )
            return


def _longest_that_fits(rules: DeliveryRules, most: int) -> int | None:
    """Return the highest max_name_length that keeps every name within `most` characters, if one does."""
    for length in range(most, 0, -1):
        if all(each.length <= most for each in names_beside(rules, length)) and _is_allowed(rules, length):
            return length
    return None


def _is_allowed(rules: DeliveryRules, max_name_length: int) -> bool:
    try:
        replace(rules, max_name_length=max_name_length)
    except InvalidRule:
        return False
    return True


def _of_attributes(rules: DeliveryRules, measured: MeasuredServer) -> Iterator[str]:
    for name, what in _attributes_not_kept(rules, measured):
        advice = joined_advice(
            rules,
            Advice(text="set require_attributes=False", changes={"require_attributes": False}),
            Advice(text=f"leave {name} out", changes={name: _LEFT_OUT[name]}),
            is_wrong=lambda changed: name in dict(_attributes_not_kept(changed, measured)),  # noqa: B023 - used now
        )
        yield f"{name} is required (require_attributes), but {showed(measured)} that it {what}: {advice}."


def _attributes_not_kept(rules: DeliveryRules, measured: MeasuredServer) -> Iterator[tuple[str, str]]:
    """Yield the rules that the server does not keep, with what it does."""
    if not rules.require_attributes:
        return
    for rule, is_set, answer, taken in (
        ("mode", rules.mode is not None, "set_mode", measured.takes_mode),
        ("preserve_time", rules.preserve_time, "set_time", measured.takes_time),
    ):
        code = measured.answer(answer)
        if not is_set or code is None or (code == OK and taken is not False):
            continue
        if code != OK:
            yield rule, f"refuses SETSTAT (status {code})"
        else:
            yield rule, "says OK to SETSTAT and keeps what it had"


def _of_server(server: SftpServer, measured: MeasuredServer) -> Iterator[str]:
    if not is_token(server.host) and not is_token(server.port):
        here = f"{server.host}:{server.port}"
        if here != measured.server:
            yield (
                f"profile must be of {here}, but it is what {showed(measured)}: measure this server, "
                "or leave profile out."
            )
    yield from _of_host_keys(server, measured)
    yield from _of_algorithms(server, measured)


def _of_host_keys(server: SftpServer, measured: MeasuredServer) -> Iterator[str]:
    keys = [key for key in server.host_keys if not is_token(key)]
    if not measured.host_keys or len(keys) < len(server.host_keys):
        return
    if any(key.startswith(_AUTHORITY) for key in keys):
        return  # it may sign any key
    if {_key(key) for key in keys}.isdisjoint(map(_key, measured.host_keys)):
        types = ", ".join(key.partition(" ")[0] for key in measured.host_keys)
        yield (
            f"host_keys has none of the keys that {showed(measured)} ({types}): verify the keys with the "
            "partner out of band, and pin one that the server has."
        )


def _of_algorithms(server: SftpServer, measured: MeasuredServer) -> Iterator[str]:
    rule = server.algorithms.rule if server.algorithms else AlgorithmRule()
    for kind in Kind:
        theirs = measured.algorithms.get(kind, ())
        ours = _ours(server, rule, kind)
        if not theirs or not ours or not set(ours).isdisjoint(theirs):
            continue
        name = "ciphers" if kind is Kind.CIPHER and server.ciphers else "algorithms"
        old = [each for each in theirs if each in WEAK and WEAK[each].kind is kind]
        instead = (
            f"allow what it has (Algorithms(allow={old}))" if old and not rule.policy else f"change {name}"
        )
        if rule.policy is Policy.POST_QUANTUM_REQUIRED and kind is Kind.KEY_EXCHANGE:
            instead = (
                "leave the policy out: the function's SSH library has no other one with post-quantum security"
            )
        yield (
            f"{name} offers only {', '.join(ours)} for {kind}, but {showed(measured)} that it has only "
            f"{', '.join(theirs)}: ask the partner to enable one of ours, or {instead}."
        )


def _ours(server: SftpServer, rule: AlgorithmRule, kind: Kind) -> tuple[str, ...]:
    if kind is Kind.CIPHER and server.ciphers:
        return () if any(map(is_token, server.ciphers)) else tuple(server.ciphers)
    offered = rule.offered(kind)
    if kind is not Kind.SIGNATURE or any(
        is_token(key) or key.startswith(_AUTHORITY) for key in server.host_keys
    ):
        return offered
    types = {key.split()[0] for key in server.host_keys}
    return tuple(name for name in offered if name in types or (name in _RSA and "ssh-rsa" in types))


def _of_streams(max_connections: int, measured: MeasuredServer) -> Iterator[str]:
    if is_token(max_connections) or connections_per_function(max_connections) == 1:
        return
    if measured.keeps_second_handle is False:
        yield (
            f"max_connections is {max_connections}, which is for parallel streams into one file, but "
            f"{showed(measured)} that it does not keep together what two handles write: set "
            "max_connections=2."
        )


def _of_directory(directory: str, measured: MeasuredServer) -> Iterator[str]:
    if measured.writable.get(directory) is False:
        where = repr(directory) if directory else "left out"
        yield (
            f"directory is {where}, but {showed(measured)} that no file can be created there: ask the "
            "partner for the right to write, or choose another directory."
        )


def _directories(server: SftpServer, sources: Sequence[Source]) -> Iterator[str]:
    for directory in [source.directory or server.directory or "" for source in sources]:
        if not is_token(directory):
            yield directory


def _rules(server: SftpServer, sources: Sequence[Source]) -> Iterator[DeliveryRules]:
    yield from dict.fromkeys(source.rules or server.rules or DeliveryRules() for source in sources)


def _key(line: str) -> str:
    return " ".join(line.split()[:2])
