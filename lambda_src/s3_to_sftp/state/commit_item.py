"""A commit as an item of the ledger holds it, in its own words and read again."""

from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.state.attributes import Fields
from s3_to_sftp.state.ledger import Commit, SentContent


def read_commit(fields: Fields, *, otherwise: str | None = None) -> Commit:
    """Read and check a commit. Without a word about its RENAME, one may have been sent and not answered.

    Args:
        fields: Of the commit.
        otherwise: The final name where it has none of its own: that of the version's record.

    Raises:
        LedgerError: It is corrupt.
    """
    sent = fields.optional_map("sent")
    return Commit(
        temporary=fields.text("temporary"),
        remote_path=fields.optional_text("remote_path") or otherwise or fields.text("remote_path"),
        size=fields.integer("size"),
        modified=fields.optional_integer("modified"),
        server=ServerIdentity(
            host=fields.text("host"),
            port=fields.integer("port"),
            user=fields.text("user"),
            host_key=fields.text("host_key"),
        ),
        checksum_algorithm=fields.text("checksum_algorithm"),
        checksum=fields.text("checksum"),
        verified_by=fields.text("verified_by"),
        sha256=fields.optional_text("sha256") or "",
        rename_unanswered=fields.optional_flag("rename_unanswered", otherwise=True),
        is_renamed=fields.optional_flag("is_renamed", otherwise=False),
        evidence=fields.optional_text("evidence") or "",
        sent=_read_sent(sent) if sent else None,
        plan=fields.optional_text("plan") or "",
    )


def _read_sent(fields: Fields) -> SentContent:
    return SentContent(
        transforms=fields.texts("transforms"),
        source_size=fields.integer("source_size"),
        digests=fields.map("digests").all_texts(),
        about=fields.map("about").all_texts(),
    )


def commit_fields(commit: Commit) -> dict[str, object]:
    """Return the attributes of a commit in the version's item."""
    return {
        "temporary": commit.temporary,
        "remote_path": commit.remote_path,
        "size": commit.size,
        "modified": commit.modified,
        **vars(commit.server),
        "checksum_algorithm": commit.checksum_algorithm,
        "checksum": commit.checksum,
        "verified_by": commit.verified_by,
        **({"sha256": commit.sha256} if commit.sha256 else {}),
        "rename_unanswered": commit.rename_unanswered,
        "is_renamed": commit.is_renamed,
        **({"evidence": commit.evidence} if commit.evidence else {}),
        **({"sent": _sent_fields(commit.sent)} if commit.sent else {}),
        **({"plan": commit.plan} if commit.plan else {}),
    }


def _sent_fields(sent: SentContent) -> dict[str, object]:
    return {
        "transforms": list(sent.transforms),
        "source_size": sent.source_size,
        "digests": dict(sent.digests),
        "about": dict(sent.about),
    }
