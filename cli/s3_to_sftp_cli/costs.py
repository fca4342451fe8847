"""What it costs at AWS to deliver objects: the part that depends on their number."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What one service charges for an object.

    Attributes:
        what: Of what.
        each: How many of it an object takes.
        per_million: US dollars.
    """

    what: str
    each: int
    per_million: float

    def __str__(self) -> str:
        return f"{self.each} x ${self.per_million:g} {self.what}"


PARTS = (
    Part("DynamoDB writes", 7, 0.625),
    Part("SQS requests", 3, 0.40),
    Part("Lambda requests", 1, 0.20),
)
"""The figures of docs/reference/what-it-costs.md, which says how they are counted; a test compares."""

SOURCE = ("list prices of us-east-1, November 2026", "docs/reference/what-it-costs.md")
"""What the prices are, and where they are explained."""
EXTRA = "duration, logs, traffic extra"


@dataclass(frozen=True)
class Cost:
    """What a number of objects costs.

    Attributes:
        objects: How many.
    """

    objects: int

    @property
    def dollars(self) -> float:
        """US dollars."""
        return self.objects * sum(part.each * part.per_million for part in PARTS) / 1_000_000

    @property
    def formula(self) -> str:
        """How it was calculated."""
        return f"{self.objects:,} x ({' + '.join(map(str, PARTS))}) / 1,000,000"

    def as_json(self) -> dict[str, object]:
        """Return it for JSON documents."""
        return {
            "dollars": round(self.dollars, 6),
            "formula": self.formula,
            "source": f"{': '.join(SOURCE)}; {EXTRA}",
        }

    def __str__(self) -> str:
        return f"${self.dollars:,.2f}" if self.dollars >= 0.01 or not self.objects else "less than $0.01"
