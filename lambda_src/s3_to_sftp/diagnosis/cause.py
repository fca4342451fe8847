"""A cause of a problem, as people are told of it."""

from dataclasses import dataclass
from typing import TypeVar

from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.untrusted_text import MOST_REASON_BYTES, cut, one_line

E = TypeVar("E", bound=DeliveryError)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something does not work.

    Texts may hold names in braces, which are filled in: `{server}` is `host:port`.

    Attributes:
        name: In logs and JSON; does not change.
        sign: How it shows, for the troubleshooting page.
        summary: The cause, in one sentence.
        advice: What to do.
        to_partner: What to write to the partner; empty where there is nothing that they can do.
    """

    name: str
    sign: str
    summary: str
    advice: str
    to_partner: str = ""

    def error(self, kind: type[E], seen: str = "", /, **names: object) -> E:
        """Return an error that begins with the cause.

        Args:
            kind: Class of the error.
            seen: What the server said or did, as sentences, fit to be quoted.
            names: Name -> text, for the names in braces.
        """
        return self.explain(kind(self.reason(seen, **names), hint=self.advice.format(**names)), **names)

    def explain(self, error: E, /, **names: object) -> E:
        """Return an error that was made elsewhere, with this cause in it."""
        error.cause = self.name
        error.to_partner = cut(one_line(self.to_partner.format(**names)), MOST_REASON_BYTES)
        return error

    def reason(self, seen: str = "", /, **names: object) -> str:
        """Return the cause, and behind it what was seen."""
        return " ".join(filter(None, [self.summary.format(**names), seen.strip()]))
