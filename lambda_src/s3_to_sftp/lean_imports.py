"""Imports paramiko without a library that it takes along and nothing here uses. Imported before all others.

paramiko needs invoke for one directive of an `ssh_config` file, and does without where it is missing. There
is no such file here, and invoke brings a parser of YAML and `unittest`: together a tenth of a cold start.
"""

import sys

_UNUSED = "invoke"

if "paramiko" not in sys.modules and _UNUSED not in sys.modules:
    sys.modules[_UNUSED] = None  # type: ignore[assignment] # an import of it fails then
    try:
        import paramiko  # noqa: F401
    finally:
        del sys.modules[_UNUSED]
