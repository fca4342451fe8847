"""What the disposition of messages asks about objects, and tells the ledger of them."""

from collections.abc import Sequence

from s3_to_sftp.delivery.plan_execution import PlanExecution
from s3_to_sftp.errors import (
    AfterDeliveryFailed,
    DeliveryError,
    MovedAfterDelivery,
    OutcomeUnknown,
    RemotePathRefused,
)
from s3_to_sftp.outcomes import AlreadyDelivered, Filtered
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.state.ledger import Ledger, TerminalState


class ObjectAnswers:
    """Answers for the objects of one partner."""

    def __init__(self, *, sftp: SftpClient, ledger: Ledger, execution: PlanExecution) -> None:
        """Answer for one partner.

        Args:
            sftp: Its server.
            ledger: Records what became of objects.
            execution: Knows their plans.
        """
        self._sftp = sftp
        self._ledger = ledger
        self._execution = execution

    def path_of(self, ref: ObjectRef) -> str | None:
        """Return the final name; None where the key cannot have one."""
        try:
            return self._execution.path_of(ref)
        except RemotePathRefused:
            return None

    def not_wanted(self, refs: Sequence[ObjectRef]) -> dict[ObjectRef, DeliveryError]:
        """Return those that are not to be delivered, or not yet, as far as their events say, and why."""
        found = ((ref, self._execution.not_wanted(ref)) for ref in refs)
        return {ref: why for ref, why in found if why is not None}

    def travels_alone(self, ref: ObjectRef) -> bool:
        """Return whether the object must not be under way beside others.

        So is one that takes seconds in the partner's bandwidth: an invocation that ends can stop it, and not
        a batch of small ones.
        """
        is_slow = ref.size is not None and self._sftp.is_slow_for(ref.size)
        return is_slow or self._execution.travels_alone(ref)

    def give_up(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Record that the object will not be retried until an operator sends its message again.

        Raises:
            DeliveryError: It could not be recorded, or has ended otherwise meanwhile.
        """
        if isinstance(error, AfterDeliveryFailed | MovedAfterDelivery):  # it stays delivered
            return
        state: TerminalState = "UNKNOWN" if isinstance(error, OutcomeUnknown) else "FAILED"
        if isinstance(error, Filtered):
            state = "SKIPPED"
        try:
            self._ledger.record_outcome(ref, state=state, reason=error.reason, hint=error.hint, error=error)
        except AlreadyDelivered as delivered:
            if not delivered.has_action_left:  # otherwise a redrive of the message completes it
                raise

    def note_deferred(
        self, ref: ObjectRef, error: DeliveryError, *, next_try: float, was_tried: bool
    ) -> None:
        """Record when the object will be tried next, and why it is not delivered.

        Args:
            ref: The object.
            error: Of the attempt, or what the object waits for.
            next_try: Seconds since 1970.
            was_tried: Which of the two it is.

        Raises:
            DeliveryError: It could not be recorded.
        """
        self._ledger.note_deferred(ref, error, next_try=next_try, was_tried=was_tried)
