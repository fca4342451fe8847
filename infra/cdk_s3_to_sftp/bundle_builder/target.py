"""What is built: for which runtime, from which lock, and where it says so."""

from dataclasses import dataclass

PACKAGE = "s3_to_sftp"
"""The function's package: at the root of the bundle, next to what it imports."""

LOCK = "requirements.txt"
"""Beside the source: every dependency, pinned, with the hashes of its wheels for both architectures."""

LAYER_LOCK = "requirements-openpgp.txt"
"""The same for the layer of functions whose rules encrypt or sign."""

LAYER_ROOT = "python"
"""Where Lambda looks for the packages of a layer."""

MANIFEST = f"{PACKAGE}/bundle.json"
"""In the bundle: what it was built from and for, so that one built elsewhere can be checked."""

LAYER_MANIFEST = "openpgp-layer.json"
"""In the layer, where Python does not look for modules."""

MANIFESTS = (MANIFEST, LAYER_MANIFEST)

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""Lambda's name of an architecture -> the name in the tags of wheels."""


class CannotBuild(Exception):
    """The bundle could not be built. The message is a sentence that says why."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the bundle will run on.

    Attributes:
        architecture: As Lambda calls it: `x86_64` or `arm64`.
        python: Minor version of the Lambda runtime, such as `3.13`.
        compiled: Whether compiled modules are included, which requires an interpreter of that version.
        layer: Whether it is the layer for OpenPGP, and not the function.
    """

    architecture: str
    python: str
    compiled: bool = True
    layer: bool = False

    def __str__(self) -> str:
        return f"Python {self.python} on {self.architecture}"

    @property
    def what(self) -> str:
        """What is built, in words."""
        return "layer for OpenPGP" if self.layer else "function"

    @property
    def lock(self) -> str:
        """The file with its dependencies."""
        return LAYER_LOCK if self.layer else LOCK

    @property
    def manifest(self) -> str:
        """Where it says what it was built from."""
        return LAYER_MANIFEST if self.layer else MANIFEST

    @property
    def machine(self) -> str:
        """The architecture as wheels spell it."""
        return MACHINES[self.architecture]
