"""Rules of processors and banks that take files of payments."""

import re

from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.rules.delivery_rules import NAME_FIELDS, DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.profiles.assigned import require_flag, require_match
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.rules.template import check_template

_PAYGEARS_NAMES = r"[0-9]{4}_[0-9]{2}_[0-9]{2}_[0-9A-Z]\.csv"


def worldpay_account_updater(*, max_name_length: int = 128) -> DeliveryRules:
    """Return the rules of Worldpay's Account Updater: `.prg` while a file is written, then `.asc`.

    The object may have any extension; its stem becomes that of the file. Files get mode 664, and one whose
    mode the server refuses to set is not delivered.

    Args:
        max_name_length: The most characters of a name, with its extension. Worldpay's older description of
            session files allows 100.
    """
    return DeliveryRules(
        name="{stem}.asc",
        temporary="{stem}.prg",
        # A name that has '.prg' anywhere is never processed.
        allowed_names=r"(?!.*\.prg)\S+\.asc",
        max_name_length=max_name_length,
        mode=0o664,
        require_attributes=True,
        examples=("MerchantName_261128.xml",),
        source=(
            "Worldpay, Account Updater, FTP testing: "
            "https://developer.worldpay.com/products/account-updater/testing/ftp"
        ),
    )


def valitor_clearing(*, file_id: str = "{stem}", file_type: str = "otf", test: bool = False) -> DeliveryRules:
    """Return the rules of Valitor's clearing files: last digit of the year, month, day, and the file's id.

    The id is in the header of the file, too: the application that writes the file chooses it, and the object
    has it. `{sequence}` cannot stand for it: its number is taken after the bytes are at the partner, and they
    arrive under the final name with `.partial`.

    Args:
        file_id: Template of the three digits: `{stem}` for keys such as `001.otf`, or `{metadata[file-id]}`.
        file_type: The extension, without its dot.
        test: Whether files are for tests: their ids are 900-999, all others 000-899.
    """
    require_match("file_type", file_type, "[a-z0-9]{1,8}", wanted="an extension without its dot, as 'otf'")
    require_flag("test", test)
    if not check_template("file_id", file_id, NAME_FIELDS - {"sequence"}).fields:
        raise InvalidRule(
            "file_id", f"must have a field such as {{stem}}, got {file_id!r}: each file has another id"
        )
    ids = "9[0-9]{2}" if test else "[0-8][0-9]{2}"
    own = {"{stem}": ("901.otf",) if test else ("001.otf",)}
    return DeliveryRules(
        name=f"{{event_time:%1y%m%d}}{file_id}.{file_type}",
        time_zone="Atlantic/Reykjavik",
        temporary="{name}.partial",
        allowed_names=rf"[0-9]{{5}}{ids}\.{file_type}",
        if_exists=IfExists.REFUSE,
        examples=own.get(file_id, ()),
        source="Valitor, Clearing, 3.2 File delivery: https://specs.valitor.is/Clearing/filedelivery",
    )


def adyen_batch(*, platform: str, file_type: str, first_number: int = 1) -> DeliveryRules:
    """Return the rules of Adyen's batch files: numbers without a gap, none of them twice.

    All file types of a submission platform share its numbers. The header of a file holds the number, too: the
    application that writes the files counts as well, and puts them one after the other. An acknowledgement
    names the next number. Not kept here: encryption with PGP.

    Args:
        platform: Identifies what submits the files, as agreed with Adyen.
        file_type: What the files hold, as Adyen calls it, such as `Modification`.
        first_number: The next number that Adyen expects.
    """
    require_match(
        "platform",
        platform,
        "[A-Za-z0-9.-]{1,64}",
        wanted="up to 64 letters, digits, '.' and '-' ('_' separates the parts of the name)",
    )
    require_match("file_type", file_type, "[A-Za-z0-9]{1,64}", wanted="letters and digits, as 'Modification'")
    return DeliveryRules(
        name=f"{platform}_{{sequence}}_{file_type}.csv",
        sequence=Sequence(start=first_number, name=platform),
        allowed_names=rf"{re.escape(platform)}_[0-9]+_{file_type}\.csv",
        if_exists=IfExists.REFUSE,
        examples=("refunds.csv",),
        source=(
            "Adyen, Batch file naming and structure: https://docs.adyen.com/development-resources/"
            "batch-processing/advanced-sftp-batch-files/batch-file-naming-and-structure"
        ),
    )


def paygears_ach(*, pattern: str = _PAYGEARS_NAMES, replace_rejected: bool = False) -> DeliveryRules:
    """Return the rules of PayGears' ACH files: a date and one character, never over an accepted file.

    Objects have the name already, as in `outgoing/2026_11_28_A.csv`.

    Args:
        pattern: Regular expression that names must match.
        replace_rejected: Whether a file is replaced. PayGears lets a corrected file replace a rejected one,
            and keeps an accepted one. Which of both stands there cannot be seen in its name: by default an
            object is not delivered if something has its name.
    """
    require_flag("replace_rejected", replace_rejected)
    return DeliveryRules(
        name="{name}",
        allowed_names=pattern,
        if_exists=IfExists.REPLACE if replace_rejected else IfExists.REFUSE,
        examples=("2026_11_28_1.csv", "2026_11_28_A.csv") if pattern == _PAYGEARS_NAMES else (),
        source=(
            "PayGears, ACH, SFTP File Uploads: "
            "https://docs.paygears.com/connectfi/PAYMENTS/ACH/SFTP-File-Uploads/"
        ),
    )


def bcb_bulk_payments() -> DeliveryRules:
    """Return the rules of Bermuda Commercial Bank's bulk payments, whose server is Azure Blob Storage.

    The remote directory of the server or source is `/input`. That server does not rename across directories
    and sets neither permissions nor times: temporary names are in the same directory, and `mode` and
    `preserve_time` are not used. Files are checked for duplicates, so none is replaced.
    """
    return DeliveryRules(
        name="{name}",
        if_exists=IfExists.REFUSE,
        source=(
            "BCB, Bulk Payments via SFTP: https://developers.bcb.bm/guides/bulk-payments-sftp; Microsoft, "
            "limitations of SFTP for Azure Blob Storage: https://learn.microsoft.com/azure/storage/blobs/"
            "secure-file-transfer-protocol-known-issues"
        ),
    )
