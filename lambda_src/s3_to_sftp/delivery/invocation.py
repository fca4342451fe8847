"""One invocation: delivers its objects, and reports each outcome to breaker, log, metrics and event bus."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeGuard

from s3_to_sftp.credentials import CredentialSource
from s3_to_sftp.delivery.batch import Outcome, deliver_all
from s3_to_sftp.delivery.configuration import identify_configuration
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import (
    AfterDeliveryFailed,
    CredentialsError,
    DeliveryError,
    RequestRefused,
    is_partner_wide,
)
from s3_to_sftp.events import Publisher
from s3_to_sftp.outcomes import AlreadyGone, CheckpointSaved, CircuitOpen, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server import Server
from s3_to_sftp.state.circuit_breaker import CircuitBreaker, Recovered
from s3_to_sftp.state.pause import NoPause, Pause
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.refusal_streak import RefusalStreak
from s3_to_sftp.telemetry import Telemetry


class InvocationRunner:
    """Delivers the objects of an invocation, unless they are paused or the circuit breaker is open."""

    def __init__(
        self,
        *,
        server: Server,
        credentials: CredentialSource,
        delivery: Delivery,
        breaker: CircuitBreaker,
        publisher: Publisher,
        telemetry: Telemetry,
        pause: Pause | None = None,
        end_of_invocation: Callable[[], None] = lambda: None,
        directory: str = "",
    ) -> None:
        """Deliver to one server.

        Args:
            server: The partner's server.
            credentials: The login.
            delivery: Delivers one object.
            breaker: Decides who may connect.
            publisher: Told of what people want to know.
            telemetry: Logs and counts.
            pause: Holds objects back while an operator has paused deliveries. By default nothing does.
            end_of_invocation: Called when nothing more is sent in this invocation; never raises.
            directory: Where to; when it is changed, the partner is asked at once.
        """
        self._server = server
        self._directory = directory
        self._credentials = credentials
        self._delivery = delivery
        self._breaker = breaker
        self._publisher = publisher
        self._telemetry = telemetry
        self._pause = pause or NoPause()
        self._end_of_invocation = end_of_invocation
        self._blocking_error: DeliveryError | None = None

    def deliver(self, refs: Sequence[ObjectRef], invocation: Invocation) -> dict[ObjectRef, Exception]:
        """Try every object and return the errors: one bad object never costs the others."""
        errors: dict[ObjectRef, Exception] = {}
        has_let_us_in = False
        for ref, outcome in self._outcomes(refs, invocation):
            has_let_us_in |= isinstance(_of_partner(outcome), Receipt | RequestRefused | CheckpointSaved)
            if isinstance(outcome, AfterDeliveryFailed) and isinstance(outcome.receipt, Receipt):
                self._telemetry.delivered(outcome.receipt)
                self._publisher.completed(outcome.receipt)
            if isinstance(outcome, Exception):
                errors[ref] = outcome
                self._telemetry.not_delivered(outcome, ref)
                if isinstance(outcome, Superseded):
                    self._publisher.superseded(ref, outcome)
                if isinstance(outcome, AlreadyGone):
                    self._publisher.gone(ref, outcome)
            else:
                self._telemetry.delivered(outcome)
                self._publisher.completed(outcome)
        if has_let_us_in and not self._breaker.is_open:
            self._telemetry.circuit_breaker(is_open=False)
        return errors

    def _outcomes(self, refs: Sequence[ObjectRef], invocation: Invocation) -> Iterator[Outcome]:
        if not refs:
            return
        # Before everything that makes an object wait: what is not wanted waits for nobody.
        if unwanted := self._delivery.not_wanted(refs):
            yield from unwanted.items()
            refs = [ref for ref in refs if ref not in unwanted]
        if not refs:
            return
        # Before the breaker: a pause does not let a function claim an attempt that it does not make.
        held = self._pause.held(refs)
        if held:
            self._telemetry.paused(age=max(error.paused_for for error in held.values()))
            yield from held.items()
            refs = [ref for ref in refs if ref not in held]
        if not refs:
            return
        try:
            self._admit(invocation.deadline)
        except CircuitOpen as error:
            self._telemetry.circuit_breaker(is_open=True)
            yield from ((ref, error) for ref in refs)
            return
        refusals = RefusalStreak()
        try:
            for ref, outcome in deliver_all(self._delivery, refs, invocation):
                # As soon as it is known: other functions wait for what the first one learns.
                self._learn(ref, outcome, refusals)
                yield ref, outcome
            if self._credentials.fallback:
                self._telemetry.login_fallback()
            # Only now: any object that is accepted shows that the others were refused for themselves.
            refused = None if refusals.accepted else refusals.error()
            if refused is not None:
                self._learn_failure(refused)
        finally:
            self._breaker.release()
            self._end_of_invocation()

    def _admit(self, deadline: Deadline) -> None:
        """Ask the breaker, and once more when the secret has been changed since it was cached.

        An open breaker is never tried with a cached login: the partner may have refused it, or a newer one,
        before, and counts every refusal.

        Raises:
            CircuitOpen: Not now.
        """
        self._credentials.renew()
        configuration, refused = self._configuration(), None
        try:
            self._breaker.admit(configuration=configuration, until=deadline.ends_at)
        except CircuitOpen as error:
            refused = error
        if not self._breaker.is_open:
            return
        if self._configuration(refresh=True) != configuration:
            self._breaker.release()
            self._breaker.admit(configuration=self._configuration(), until=deadline.ends_at)
        elif refused is not None:
            raise refused

    def _learn(self, ref: ObjectRef, outcome: Receipt | Exception, refusals: RefusalStreak) -> None:
        """Tell the breaker what an outcome says about the partner; most say nothing new, and cost nothing."""
        outcome = _of_partner(outcome)
        refusals.record(ref, outcome)
        if isinstance(outcome, Receipt | CheckpointSaved):
            self._tell_recovered(self._breaker.succeeded())
        elif isinstance(outcome, RequestRefused):
            self._tell_recovered(self._breaker.login_accepted())
        elif self._is_new_blocking_error(outcome):
            self._learn_failure(outcome)

    def _learn_failure(self, error: DeliveryError) -> None:
        if opened := self._breaker.failed(error, configuration=self._configuration()):
            self._telemetry.circuit_breaker(is_open=True)
            self._publisher.unavailable(opened)

    def _tell_recovered(self, recovered: Recovered | None) -> None:
        if recovered:
            self._publisher.recovered(recovered)

    def _is_new_blocking_error(self, outcome: Exception) -> TypeGuard[DeliveryError]:
        """Return whether it concerns the partner, and is not the one that this invocation has met before.

        What blocks every delivery is the outcome of each object, and counts once.
        """
        if not is_partner_wide(outcome):
            return False
        is_new = outcome is not self._blocking_error
        self._blocking_error = outcome
        return is_new

    def _configuration(self, *, refresh: bool = False) -> str:
        """Identify what a person can fix when the partner refuses the login; shows nothing of the login."""
        try:
            _ = self._credentials.refreshed() if refresh else self._credentials.current()
            version = self._credentials.version
        except CredentialsError as error:
            version = error.reason
        return identify_configuration(self._server, self._directory, version)


def _of_partner(outcome: Receipt | Exception) -> Receipt | Exception:
    """Return what the outcome says about the partner: one who has the file has accepted it."""
    if isinstance(outcome, AfterDeliveryFailed) and isinstance(outcome.receipt, Receipt):
        return outcome.receipt
    return outcome
