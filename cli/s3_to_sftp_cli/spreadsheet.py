"""Cells of CSV files that spreadsheets open."""


def safe_cell(value: object) -> object:
    """Return the value so that no spreadsheet takes it for a formula: keys are anybody's text.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
