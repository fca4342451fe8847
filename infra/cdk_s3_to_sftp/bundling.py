"""From the function's source to a Lambda asset: built on this machine, or in Docker."""

import json
import os
import zipfile
from enum import StrEnum
from pathlib import Path

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp import bundle_builder, bundle_cache
from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.bundle_builder import compilation
from cdk_s3_to_sftp.bundle_builder.files import empty
from cdk_s3_to_sftp.bundle_builder.target import LOCK, MANIFEST, PACKAGE, CannotBuild, Target
from cdk_s3_to_sftp.standard_error import say

RUNTIME = lambda_.Runtime.PYTHON_3_13
"""What the function runs on by default, and what its dependencies are installed for."""

RUNTIMES = (
    lambda_.Runtime.PYTHON_3_12,
    RUNTIME,
    # By its name: older releases of CDK, which are supported, have no constant for it.
    lambda_.Runtime("python3.14", lambda_.RuntimeFamily.PYTHON),
)
"""Runtimes that the tests bundle the function for. Compared by name."""

ARCHITECTURES = (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)
"""CPU architectures that the function can run on."""

MEGABYTE = 1024 * 1024
"""As Lambda's quotas count."""

LARGEST_BUNDLE = 250
"""Lambda's limit in megabytes, unzipped."""


_BUILDER_PARENT = "/builder"
"""In the image: from there Python finds the builder, and nothing else of ours."""

_PACKAGE = "`python -m cdk_s3_to_sftp.package`"

_WITHOUT_BUNDLING = (
    'Unit tests need no bundle: cdk.App(context={"aws:cdk:bundling-stacks": []}). One that was built '
    "elsewhere (python -m cdk_s3_to_sftp.package) can be given as code=. See docs/guides/testing-and-ci.md."
)


class Bundling(StrEnum):
    """Where the function's code and its dependencies are bundled. The result is the same."""

    AUTO = "auto"
    """On this machine, or in Docker if that fails, with the reason on standard error."""
    LOCAL = "local"
    """On this machine with uv or pip, without a fallback."""
    DOCKER = "docker"
    """In the Lambda build image, with Docker or with the command in the variable CDK_DOCKER."""


def function_code(
    *, architecture: lambda_.Architecture, runtime: lambda_.Runtime, bundling: Bundling
) -> lambda_.AssetCode:
    """Return the function's code as an asset. It is built unless a bundle with the same hash exists already.

    The hash depends on what determines the content, not on where it is built: a machine with Docker, one
    without, and a synth that skips bundling (context `aws:cdk:bundling-stacks`) produce the same template.
    Only a machine that cannot compile the modules has another hash, because its bundle differs.
    """
    return _asset(target_of(architecture, runtime, bundling), runtime, bundling)


def openpgp_layer_code(
    *, architecture: lambda_.Architecture, runtime: lambda_.Runtime, bundling: Bundling
) -> lambda_.AssetCode:
    """Return what functions whose rules encrypt or sign need besides, as the asset of a layer.

    It has no compiled modules: its one module has ten lines, and the same bytes are built everywhere.
    """
    return _asset(layer_target_of(architecture, runtime), runtime, bundling)


def _asset(target: Target, runtime: lambda_.Runtime, bundling: Bundling) -> lambda_.AssetCode:
    source = find_source()
    return lambda_.Code.from_asset(
        str(source),
        asset_hash=bundle_builder.fingerprint(source, target),
        # CDK hashes these options, too. So they hold no path, and are the same for all kinds of bundling:
        # the bundler, which CDK calls local, runs Docker itself.
        bundling=cdk.BundlingOptions(
            image=runtime.bundling_image,
            local=_Bundler(target, bundling),  # type: ignore[arg-type]  # jsii's stub is wrong
        ),
    )


def check_prebuilt(
    code: lambda_.Code, *, architecture: lambda_.Architecture, runtime: lambda_.Runtime
) -> None:
    """Check a bundle that was built elsewhere, if it can be read. One in a bucket cannot.

    Raises:
        InvalidArgument: It is not a bundle, or one that would fail or behave differently in this function.
    """
    if isinstance(code, lambda_.InlineCode):
        raise InvalidArgument("code", f"must be a bundle as {_PACKAGE} writes it, got inline code")
    if not isinstance(code, lambda_.AssetCode):
        return
    manifest = _manifest(Path(code.path))
    python = runtime.name.removeprefix("python")
    if (manifest.get("python"), manifest.get("architecture")) != (python, architecture.name):
        raise InvalidArgument(
            "code",
            f"must be for Python {python} on {architecture.name}, as `runtime` and `architecture` say, got a "
            f"bundle for Python {manifest.get('python')} on {manifest.get('architecture')}: build it with "
            f"`python -m cdk_s3_to_sftp.package --python {python} --architecture {architecture.name}`",
        )
    target = Target(architecture=architecture.name, python=python, compiled=bool(manifest.get("compiled")))
    if manifest.get("fingerprint") != bundle_builder.fingerprint(find_source(), target):
        raise InvalidArgument(
            "code",
            f"must have the same version as the construct, got another version in {code.path}: build it "
            f"again with {_PACKAGE}, of the cdk-s3-to-sftp that this app has",
        )


def _manifest(bundle: Path) -> dict[str, object]:
    try:
        if bundle.is_dir():
            text = (bundle / MANIFEST).read_bytes()
        else:
            with zipfile.ZipFile(bundle) as archive:
                text = archive.read(MANIFEST)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        lacking = f"without {MANIFEST}" if bundle.exists() else "which does not exist"
        raise InvalidArgument(
            "code", f"must be a bundle as {_PACKAGE} writes it, got {bundle}, {lacking}"
        ) from error
    manifest: dict[str, object] = json.loads(text)
    return manifest


def bundle(
    output: Path,
    *,
    architecture: lambda_.Architecture,
    runtime: lambda_.Runtime = RUNTIME,
    bundling: Bundling,
) -> None:
    """Put the function and its dependencies into the empty directory `output`.

    Raises:
        CannotBuild: It cannot be built in the requested way. `output` may hold an incomplete bundle.
    """
    build(output, target_of(architecture, runtime, bundling), bundling)


def build(output: Path, target: Target, bundling: Bundling) -> None:
    """Put what the target is into the empty directory `output`.

    Raises:
        CannotBuild: It cannot be built in the requested way. `output` may hold an incomplete bundle.
    """
    source = find_source()
    if not target.compiled and not target.layer:
        say(f"No Python {target.python} here: the bundle has no compiled modules (slower cold start).")
    if bundling is Bundling.DOCKER:
        return _build_in_docker(source, output, target)
    try:
        return bundle_builder.build(source, output, target)
    except CannotBuild as reason:
        if bundling is Bundling.LOCAL:
            raise
        local_reason = str(reason)
    say(f"Cannot bundle the {target.what} on this machine: {local_reason}\nTrying Docker.")
    empty(output)
    try:
        return _build_in_docker(source, output, target)
    except CannotBuild as reason:
        raise CannotBuild(f"{reason}\nWithout Docker it failed, too: {local_reason}") from reason


def unzipped_size(directory: Path) -> float:
    """Return the size of all files below the directory in megabytes, which is what Lambda limits."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / MEGABYTE


def find_source() -> Path:
    """Return the directory of the runtime package that came with this one. Imports nothing.

    Does not search `sys.path`: there a user's module of the same name, next to app.py, would be found first.

    Raises:
        CannotBuild: The package is not where the distribution puts it.
    """
    package = Path(__file__).parent
    installed = package.with_name(PACKAGE)
    checkout = package.parent.with_name("lambda_src") / PACKAGE
    for source in (installed, checkout):
        if (source / LOCK).is_file():
            return source
    raise CannotBuild(
        f"the package {PACKAGE} (the function's source) is neither {installed} nor "
        f"{checkout}: reinstall the distribution cdk-s3-to-sftp, which contains it."
    )


def target_of(
    architecture: lambda_.Architecture,
    runtime: lambda_.Runtime = RUNTIME,
    bundling: Bundling = Bundling.AUTO,
) -> Target:
    """Return what to build for a function of this architecture and runtime."""
    python = runtime.name.removeprefix("python")
    # The image has its interpreter. Where Docker is only the fallback, this machine has already determined
    # the content.
    compiled = bundling is Bundling.DOCKER or compilation.can_compile(python)
    return Target(architecture=architecture.name, python=python, compiled=compiled)


def layer_target_of(architecture: lambda_.Architecture, runtime: lambda_.Runtime = RUNTIME) -> Target:
    """Return what to build for the layer of a function of this architecture and runtime."""
    python = runtime.name.removeprefix("python")
    return Target(architecture=architecture.name, python=python, compiled=False, layer=True)


def _build_in_docker(source: Path, output: Path, target: Target) -> None:
    """Run the builder in the Lambda build image, whose interpreter is named like the runtime.

    The image may be of either CPU architecture: wheels are chosen by tag, and compiled modules are portable.
    """
    runtime = lambda_.Runtime(f"python{target.python}", lambda_.RuntimeFamily.PYTHON)
    builder = Path(bundle_builder.__file__).parent
    mounts = {source: "/source", output: "/output", builder: f"{_BUILDER_PARENT}/{builder.name}"}
    try:
        runtime.bundling_image.run(
            command=[
                runtime.name,
                "-B",  # it writes nothing into our package
                "-m",
                builder.name,
                "--source=/source",
                "--output=/output",
                f"--architecture={target.architecture}",
                f"--python={target.python}",
                "--compiled" if target.compiled else "--no-compiled",
                *(["--layer"] if target.layer else []),
            ],
            volumes=[cdk.DockerVolume(host_path=str(p), container_path=there) for p, there in mounts.items()],
            working_directory=_BUILDER_PARENT,
            user=_user(),
            # That user has no home directory in the image; installers need one.
            environment={"HOME": "/tmp"},  # noqa: S108 -- the container's own, gone with it
        )
    except RuntimeError as error:  # jsii turns every error of CDK into one
        raise CannotBuild(
            f"{error}\n"
            "Is Docker running? CDK_DOCKER can name another command. To bundle without Docker: "
            "'pip install uv', and make sure that it can reach the package index."
        ) from error


def _user() -> str:
    """Return the current user, who owns what the container writes. Windows has no ids; CDK uses 1000."""
    return f"{os.getuid()}:{os.getgid()}" if hasattr(os, "getuid") else "1000:1000"


@jsii.implements(cdk.ILocalBundling)
class _Bundler:
    """CDK calls it when there is no bundle with this hash yet."""

    def __init__(self, target: Target, bundling: Bundling) -> None:
        self._target = target
        self._bundling = bundling

    def try_bundle(self, output_dir: str, options: object) -> bool:  # noqa: ARG002 -- CDK passes them
        output = Path(output_dir)
        target = self._target
        fingerprint = bundle_builder.fingerprint(find_source(), target)
        if kept := bundle_cache.take(fingerprint, output):
            say(f"Took the bundle of the {target.what} for {target} from {kept}.")
            return True
        try:
            build(output, target, self._bundling)
        except CannotBuild as reason:
            raise CannotBuild(f"{reason}\n{_WITHOUT_BUNDLING}") from reason
        bundle_cache.keep(fingerprint, output)
        size = f"{unzipped_size(output):.0f} MB unzipped"
        say(f"Bundled the {target.what} for {target}: {size}, Lambda's limit is {LARGEST_BUNDLE}.")
        return True
