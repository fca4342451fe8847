"""The environment variable that names the tool which configured the function."""

VARIABLE = "CONFIGURED_BY"
"""The function's hints then use the setting names of that tool, not those of environment variables."""

CONSTRUCT, PARTNER_FILE, TEMPLATE = "construct", "partner.toml", "template"
