"""The plan: the same for the same facts, read as it is done."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

from hypothesis import given

from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists, default_plan
from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.explanation import plan_as_json, steps_of
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.sequence import Sequence
from tests.unit.rules.objects import FACTS, KEYS, planned

RULES = DeliveryRules(
    name="{folder}B{sequence:06d}_{stem}_{delivery_time:%Y%m%d}{ext}",
    sequence=Sequence(name="bank"),
    temporary="{name}.partial",
    if_exists=IfExists.REFUSE,
    mode=0o664,
    preserve_time=True,
    companions=[
        Companion.document("{stem}.ctl", "{name};{bytes}", before=True),
        Companion.marker("{name}.done"),
    ],
)


@given(KEYS, FACTS)
def test_plan_is_the_same_for_the_same_facts_and_changes_nothing(key: str, facts: PlanFacts) -> None:
    before = copy.deepcopy(facts)

    def outcome() -> DeliveryPlan | str:
        try:
            return planned(RULES, key, facts)
        except RuleRefused as refused:
            return str(refused)

    assert outcome() == outcome()
    assert facts == before


def test_plan_does_not_depend_on_machine_or_language() -> None:
    code = (
        "from tests.unit.rules.test_plan import RULES, planned, PlanFacts;"
        "print(planned(RULES, 'in/a.csv', PlanFacts(delivery_time=1711846800, sequence=3, size=9)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"TZ": zone, "LC_ALL": language, "PYTHONHASHSEED": seed, "PYTHONPATH": "lambda_src:."},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone, language, seed in (("UTC", "C", "1"), ("Asia/Tokyo", "de_DE.UTF-8", "2"))
    }
    assert len(outputs) == 1
    assert "B000003_a_20240331.csv" in outputs.pop()


def test_steps_say_what_happens_in_order() -> None:
    plan = planned(RULES, "in/a.csv", PlanFacts(sequence=7, size=3, event_time=5))
    name = "B000007_a_19700101"
    assert steps_of(plan) == [
        f"upload the data as '/inbox/in/{name}.csv.partial'",
        "set mode 664 and the time of the object",
        "take the next number of the sequence 'bank'",
        f"put '/inbox/in/{name}.ctl' (24 bytes)",
        f"give the data its final name '/inbox/in/{name}.csv', unless something has it: then the object is "
        "dead-lettered",
        f"put '/inbox/in/{name}.csv.done' (empty)",
        "record the receipt",
    ]
    assert plan.modified == 5


def test_steps_without_number_say_what_is_not_known_yet() -> None:
    steps = steps_of(planned(RULES, "in/a.csv"))
    assert steps[0] == "upload the data as '/inbox/in/B{token}_a_19700101.csv.partial'"
    assert steps[3] == "put '/inbox/in/B{sequence}_a_19700101.ctl' (its content follows from the data)"
    assert steps[5] == "put '/inbox/in/B{sequence}_a_19700101.csv.done' (empty)"


def test_weaker_guarantee_of_a_direct_upload_is_said() -> None:
    plan = planned(DeliveryRules(temporary="{name}"), "a")
    assert steps_of(plan)[0] == "upload the data under the final name: the partner can see a part of it"


def test_default_rules_plan_what_is_done_without_rules() -> None:
    plan = planned(DeliveryRules(), "in/a.csv")
    assert plan == default_plan("/inbox/in/a.csv")
    assert steps_of(plan) == [
        "upload the data under a random, hidden name",
        "give the data its final name '/inbox/in/a.csv', replacing a file that has it",
        "record the receipt",
    ]


def test_plan_can_be_written_as_json() -> None:
    plan = planned(RULES, "in/a.csv", PlanFacts(sequence=7))
    written = json.loads(json.dumps(plan_as_json(plan)))
    assert written["mode"] == "664"
    assert written["steps"] == steps_of(plan)
    assert written["if_exists"] == "refuse"


def test_default_plan_imports_no_rules() -> None:
    code = (
        "import sys, s3_to_sftp.delivery_plan; print([m for m in sys.modules if m.startswith('s3_to_sftp.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": "lambda_src"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['s3_to_sftp.delivery_plan']"
