"""The model of the ledger with random steps: they reach rare sequences sooner; Hypothesis shrinks them.

After a failed seed, `LEDGER_MODEL_EXAMPLES=5000` lets Hypothesis search for the shortest failing sequence.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TypeVar

import pytest

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.ledger_environment import LEASE_SECONDS
from tests.unit.state.test_ledger_model import DIRECTORIES, FAULTS, VERSIONS, DeliveryModel, in_memory

T = TypeVar("T")

EPISODES = int(os.environ.get("LEDGER_MODEL_EPISODES", "300"))
"""A soak test sets a higher number."""

STEPS = 25
PER_TEST = 50


class RandomRun:
    """Chooses random steps of the model."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.world = DeliveryModel(*in_memory())
        self._moves: list[tuple[int, Callable[[], object]]] = [
            (50, lambda: self.world.events_arrive([(self.version(), self.faults())])),
            (10, lambda: self.world.operator_resolves_unknown_outcome(self.version(), self.faults())),
            (5, lambda: self.world.is_dead_lettered(self.version())),
            (8, lambda: self.world.an_operator_resends(self.one_of(*VERSIONS[:-1]), self.faults())),
            (4, lambda: self.world.an_operator_retries(self.one_of(*VERSIONS[:-1]), self.faults())),
            (3, lambda: self.world.an_operator_cancels(self.version())),
            (5, lambda: self.world.waits(self.version(), was_tried=self.happens(0.5))),
            (1, lambda: self.world.is_deleted_from_s3(self.version())),
            (6, lambda: self.world.time_passes(self.one_of(1, LEASE_SECONDS + 2, 90_000))),
            (6, self.change_the_configuration),
            (10, lambda: self.world.server_event_occurs(self.one_of(*SERVER_EVENTS))),
            (8, self.change_the_partner),
        ]

    def play(self) -> None:
        weights = [weight for weight, _ in self._moves]
        for _ in range(STEPS):
            ((_, move),) = self._random.choices(self._moves, weights)
            move()
        self.world.teardown()

    def version(self) -> ObjectRef:
        return self.one_of(*VERSIONS)

    def faults(self) -> dict[int, str]:
        return {self._random.randint(0, 24): self.one_of(*FAULTS) for _ in range(self._random.randint(0, 3))}

    def change_the_configuration(self) -> None:
        policy = self.one_of(UnknownOutcome.HOLD, UnknownOutcome.HOLD, UnknownOutcome.RESEND)
        self.world.configuration_changes(self.one_of(0, 1), self.one_of(*DIRECTORIES), policy)

    def change_the_partner(self) -> None:
        self.world.server_behaviour_changes(
            replaces=self.happens(0.5),
            shows=self.happens(0.7),
            rename=self.happens(0.3),
            remove=self.happens(0.6),
        )

    def one_of(self, *choices: T) -> T:
        return self._random.choice(choices)

    def happens(self, probability: float) -> bool:
        return self._random.random() < probability


SERVER_EVENTS = (
    "power loss",
    "deletes files",
    "collects files",
    "delayed rename",
    "delayed rename",
    "replaced",
    "new key",
)


def assert_no_false_delivery(seed: int) -> None:
    """Play one run; the steps and the end of the model assert what the ledger may say."""
    try:
        RandomRun(seed).play()
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise


@pytest.mark.parametrize("first", range(0, EPISODES, PER_TEST))
def test_ledger_never_records_a_false_delivery_in_random_runs(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        assert_no_false_delivery(seed)
