"""A partner's SFTP server that keeps to its onboarding document, and to nothing else.

Its rules are written from the documents, not from the product's: it imports nothing of `s3_to_sftp`.
"""

from tests.support.strict_partner.document import Arrival, Document
from tests.support.strict_partner.server import StrictPartner, start_strict_partner

__all__ = ["Arrival", "Document", "StrictPartner", "start_strict_partner"]
