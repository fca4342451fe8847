"""Settings of Sphinx, which makes the documentation site of the Markdown pages as they are.

The source directory is the repository, so that pages link to each other, to examples and to code with the
same relative links that work on a forge. What only the site needs is written here, not in the pages: which
page follows which (`NAVIGATION`).
"""

import importlib
import re
import sys
from collections.abc import Iterable
from enum import EnumMeta
from importlib.metadata import version as version_of
from inspect import Signature
from typing import Any

from bs4 import BeautifulSoup
from jsii._runtime import JSIIMeta
from sphinx.application import Sphinx
from sphinx.domains.python._object import PyObject
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.inspect import signature as signature_of
from sphinx.util.inspect import stringify_signature

# --- what a page is ---

project = "S3 to SFTP"
project_copyright = "the authors of cdk-s3-to-sftp"
release = version = version_of("cdk-s3-to-sftp")
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = [
    "docs/**.md",
    "examples/**.md",
    "bench/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = [".*", "build", "cdk.out", "dist", "node_modules"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# --- strict: `make docs` turns warnings into errors ---

# Anchors as a forge makes them, down to this depth of headings.
myst_heading_anchors = 4
# So that `#heading` is looked for in the same page, and nowhere else.
myst_ref_domains: list[str] = []

# --- the API, from docstrings ---

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# What is in `backticks` becomes a link if it is in this reference, and code otherwise.
default_role = "py:obj"

# --- how it looks ---

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["extra"]
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "monokai"
html_theme_options = {"navigation_with_keys": True}

# --- which page follows which ---

NAVIGATION: dict[str, dict[str, list[str]]] = {
    "docs/index": {
        "Start": ["docs/quick-start", "docs/how-it-works", "examples/README"],
        "Guides": [
            "docs/guides/construct",
            "docs/guides/stock-app",
            "docs/guides/partner-rules",
            "docs/guides/partner-wants-our-ip-addresses",
            "docs/guides/measured-servers",
            "docs/guides/operate",
            "docs/guides/monitoring",
            "docs/guides/troubleshooting",
            "docs/guides/rotating-the-login",
            "docs/guides/changing-your-mind",
            "docs/reference/what-it-costs",
            "docs/guides/scale",
            "docs/reference/security",
            "docs/guides/testing-and-ci",
            "docs/guides/without-cdk",
            "docs/guides/terraform",
            "docs/guides/service-catalog",
            "docs/guides/plain-lambda",
            "docs/guides/*",
        ],
        "Reference": [
            "docs/reference/guarantees",
            "docs/reference/api/construct",
            "docs/reference/api/rules",
            "docs/reference/configuration",
            "docs/reference/cli",
            "docs/reference/errors",
            "docs/events/README",
            "docs/reference/ledger",
            "docs/reference/*",
        ],
        "Background": [
            "docs/architecture",
            "docs/glossary",
            "docs/decisions/README",
            "bench/README",
            "CONTRIBUTING",
            "docs/guides/contributing",
            "SECURITY",
            "*",
        ],
    },
    "docs/decisions/README": {"": ["docs/decisions/*"]},
    "examples/README": {"": ["examples/*/README"]},
}
"""Page -> caption -> the pages below it, in order. A star stands for all that are named nowhere."""

TITLES = {
    "docs/guides/partner-rules": "The partner's rules",
    "docs/guides/contributing": "The guide for contributors",
    "SECURITY": "Report a vulnerability",
}
"""Page -> how it is called in the navigation, where its own heading does not say enough there."""


def _add_navigation(app: Sphinx, page: str, text: list[str]) -> None:
    """Append to a page the pages below it, which only the site needs."""
    for caption, below in NAVIGATION.get(page, {}).items():
        title = f":caption: {caption}\n" if caption else ""
        entries = "\n".join(_entry(each) for name in below for each in _pages(name, app.project.docnames))
        text[0] += f"\n\n```{{toctree}}\n:hidden:\n{title}\n{entries}\n```\n"


def _entry(page: str) -> str:
    return f"{TITLES[page]} </{page}>" if page in TITLES else f"/{page}"


def _pages(name: str, known: Iterable[str]) -> list[str]:
    """Return the page of this name if there is one, or all that a star stands for."""
    named = {
        root_doc,
        *(each for sections in NAVIGATION.values() for names in sections.values() for each in names),
    }
    pattern = re.compile(name.replace("*", "[^/]+"))
    return sorted(each for each in known if pattern.fullmatch(each) and (each == name or each not in named))


def _real_signature(
    _app: Sphinx,
    _what: str,
    _name: str,
    each: Any,
    _options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Return the arguments of a construct, which jsii hides, and none for the members of an enumeration."""
    if isinstance(each, EnumMeta):
        return "", None
    if isinstance(each, JSIIMeta):
        found = signature_of(each.__init__, bound_method=True)  # type: ignore[misc]  # its own, not jsii's
        found = found.replace(return_annotation=Signature.empty)
        signature = stringify_signature(found, unqualified_typehints=True, short_literals=True)
    # Objects of CDK have no text of their own; what the default is stands in the docstring.
    return signature and re.sub(r"<aws_cdk[^>]*>", "...", signature), returned


def _label_cells(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Tell each cell of a table the heading of its column, which narrow screens show beside it."""
    if "<table" not in context.get("body", ""):
        return
    body = BeautifulSoup(context["body"], "html.parser")
    for table in body.find_all("table"):
        headings = [each.get_text() for each in table.select("thead th")]
        for row in table.select("tbody tr"):
            for heading, cell in zip(headings, row.find_all("td", recursive=False), strict=False):
                if cell.get_text(strip=True):
                    cell["data-label"] = heading
                else:
                    cell["class"] = "empty"
    context["body"] = str(body)


def _leave_out_sources_of_cdk() -> None:
    """Keep Sphinx from looking for comments in what our classes inherit: that takes half of the time."""
    importlib.import_module("cdk_s3_to_sftp")
    for name in sys.modules:
        if name.partition(".")[0] in {"aws_cdk", "constructs"}:
            ModuleAnalyzer.cache["module", name] = PycodeError("not ours")


def setup(app: Sphinx) -> None:
    """Connect the above to Sphinx."""
    _leave_out_sources_of_cdk()
    (variables,) = (each for each in PyObject.doc_field_types if each.name == "variable")
    variables.label = "Attributes"
    app.connect("source-read", _add_navigation)
    app.connect("autodoc-process-signature", _real_signature)
    app.connect("html-page-context", _label_cells)
