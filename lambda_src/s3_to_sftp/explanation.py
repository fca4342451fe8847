"""Why an object was not delivered, in the fields that programs and people group errors by."""

from s3_to_sftp.errors import DeliveryError, PartnerRefusesWrites, RequestRefused
from s3_to_sftp.sftp_status import Status


def failure_fields(error: Exception) -> dict[str, str]:
    """Return what an error says about itself, without its texts.

    Returns:
        `error`, the name of its class. Where the server has refused a request also `operation` (`create`,
        `rename` ...) and `sftp_status` (`PERMISSION_DENIED` ...; a number where the code has no name).
    """
    # An unexpected error is shown as a DeliveryError that was made of it.
    original = error.__cause__ if type(error) is DeliveryError and error.__cause__ else error
    fields = {"error": type(original).__name__}
    if isinstance(error, RequestRefused):
        return fields | _refusal(error.request, str(error.code))
    if isinstance(error, PartnerRefusesWrites):
        request, _, code = error.alike.rpartition(" ")
        return fields | _refusal(request, code)
    return fields


def _refusal(request: str, code: str) -> dict[str, str]:
    named = {"operation": request, "sftp_status": _name_of(code)}
    return {name: value for name, value in named.items() if value}


def _name_of(code: str) -> str:
    try:
        return Status(int(code)).name
    except ValueError:
        return code
