"""Objects, facts and texts that tests of the rules share."""

from __future__ import annotations

from hypothesis import strategies as st

from s3_to_sftp.delivery_plan import DeliveryPlan
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.plan import PlannedObject, plan
from s3_to_sftp.rules.plan_facts import PlanFacts

DIRECTORY = "/inbox"

HOSTILE = st.one_of(
    st.sampled_from(
        [
            "..",
            ".",
            "",
            "/",
            "//",
            "\\",
            "..\\..",
            "../x",
            "/etc/passwd",
            "~",
            "~root",
            "\0",
            "\n",
            "\r\n",
            "\x1b[2J",
            "\x85",
            "\u2028",
            "\u202e",
            "\u2066",
            "\ud800",
            "{sequence}",
            "{token}",
            "{name}",
            "{{",
            "}",
            "%Y",
            "%s",
            "a" * 254,
            "ü" * 130,
            "CON",
            "nul.txt",
            "a:b",
            "a.",
            "a ",
            " a",
            "ß",
            "İ",
            "ﬁ",
            ".csv",
            ".a.b",
            "a.tar.gz",
            "$(rm)",
            "`x`",
            "-rf",
            "*",
            "?",
            "|",
            "\ufeff",
            "e\u0301",
            "é",
        ]
    ),
    st.text(max_size=12),
)
KEYS = st.lists(HOSTILE, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from(["/", "", "_", "."]).map(lambda between: between.join(parts))
)
TIMES = st.integers(0, 4_102_444_800)
MAPS = st.fixed_dictionaries({"x": HOSTILE})
FACTS = st.builds(
    PlanFacts,
    delivery_time=TIMES,
    event_time=TIMES,
    metadata=MAPS,
    tags=MAPS,
    sequence=st.one_of(st.none(), st.integers(0, 10**9)),
    size=st.one_of(st.none(), st.integers(0, 2**42)),
    digests=st.sampled_from([{}, {"sha256": "0" * 64, "md5": "1" * 32}]),
)


def planned(rules: DeliveryRules, key: str, facts: PlanFacts | None = None, **kwargs: str) -> DeliveryPlan:
    """The plan of an object of this key."""
    item = PlannedObject(bucket="bucket", key=key, **{"directory": DIRECTORY, **kwargs})
    return plan(rules, item, facts or PlanFacts())
