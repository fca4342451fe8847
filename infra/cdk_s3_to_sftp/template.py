"""Writes a CloudFormation template to deploy without CDK: `python -m cdk_s3_to_sftp.template`.

It also writes the function as a zip, which no template can hold.
"""

import argparse
import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp.bundle_builder.target import CannotBuild
from cdk_s3_to_sftp.bundling import RUNTIME, Bundling
from cdk_s3_to_sftp.output_paths import folder_to_write, writing
from cdk_s3_to_sftp.package import ARCHITECTURES, write_package
from cdk_s3_to_sftp.template_stack import build_template

TEMPLATE, BUNDLE = "s3-to-sftp.template.json", "function.zip"

LARGEST_IN_REQUEST = 51_200
"""Bytes of a template that CloudFormation accepts without a bucket (quotas of CloudFormation)."""

_ORDER = (
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Resources",
    "Outputs",
)

_NEXT = """\
{template_path}: {size:,} bytes (CloudFormation accepts {limit:,} without a bucket)
{bundle_path}: for {runtime} on {architecture}

Deploy them. The zip needs a bucket of yours in the same Region:

  aws s3 cp {bundle_path} s3://BUCKET/{key}
  aws cloudformation deploy --stack-name s3-to-sftp --capabilities CAPABILITY_IAM \\
    --template-file {template_path} --parameter-overrides \\
    BundleBucket=BUCKET BundleKey={key} \\
    Host=sftp.partner.example "HostKey=ssh-ed25519 AAAA..."

docs/guides/without-cdk.md has the rest.
"""


def main() -> None:
    """Write both files, and print how to deploy them."""
    parser = argparse.ArgumentParser(prog="python -m cdk_s3_to_sftp.template", description=__doc__)
    parser.add_argument(
        "--output", type=folder_to_write, default=Path("build", "template"), help="a directory"
    )
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="x86_64")
    parser.add_argument("--bundling", type=Bundling, choices=list(Bundling), default=Bundling.AUTO)
    options = parser.parse_args()
    architecture = ARCHITECTURES[options.architecture]
    try:
        key = write(options.output, architecture=architecture, bundling=options.bundling)
    except CannotBuild as reason:
        sys.exit(f"Cannot bundle the function: {reason}")
    said = _NEXT.format(
        template_path=shlex.quote((options.output / TEMPLATE).as_posix()),
        bundle_path=shlex.quote((options.output / BUNDLE).as_posix()),
        size=(options.output / TEMPLATE).stat().st_size,
        limit=LARGEST_IN_REQUEST,
        runtime=RUNTIME.name,
        architecture=architecture.name,
        key=key,
    )
    print(said, end="")  # noqa: T201 -- a command for people


def write(folder: Path, *, architecture: lambda_.Architecture, bundling: Bundling) -> str:
    """Write the template and the function's bundle. The same code always gives the same bytes.

    Returns:
        The default of the parameter `BundleKey`. It changes with the bundle.

    Raises:
        CannotBuild: The function cannot be bundled in the requested way, or a file not be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / BUNDLE
    write_package(bundle, architecture=architecture, runtime=RUNTIME, bundling=bundling)
    key = f"s3-to-sftp/{hashlib.sha256(bundle.read_bytes()).hexdigest()[:16]}.zip"
    template = build_template(architecture=architecture, bundle_key=key)
    with writing(folder / TEMPLATE):
        (folder / TEMPLATE).write_text(as_text(template), encoding="utf-8")
    return key


def as_text(template: dict[str, Any]) -> str:
    """Return the text of the template, a line for each resource.

    Indented, it would be too long for a request.
    """
    sections = [*_ORDER, *(key for key in template if key not in _ORDER)]
    lines = [f"{json.dumps(key)}: {_section(template[key])}" for key in sections if key in template]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _section(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_compact(each)}" for key, each in value.items()) + "\n}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    main()
