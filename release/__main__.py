"""Builds a release and examines it, without publishing anything.

python -m release check [--output build/release] [--tag v1.0.0]
python -m release audit
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from release import audit, changelog, project, readiness
from release.project import NotReady


def main() -> None:
    """Run the command; exit with 1 where something is not fit to be released."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    check = commands.add_parser("check", help="build everything, and try it")
    check.add_argument("--output", type=Path, default=Path("build", "release"))
    check.add_argument("--tag", help="also require what publishing under this tag needs")
    commands.add_parser("audit", help="known vulnerabilities of what the locks pin")
    options = parser.parse_args()
    try:
        if options.command == "audit":
            _audit()
        else:
            _check(options.output.resolve(), options.tag)
    except NotReady as reason:
        sys.exit(f"Not ready: {reason}")


def _audit() -> None:
    found = False
    for lock in audit.LOCKS:
        answer = audit.audit(lock)
        print("\n".join(audit.report(lock, answer)))
        found |= isinstance(answer, audit.Audit) and bool(answer.findings)
    if found:
        raise NotReady("libraries with known vulnerabilities are pinned, see above.")


def _check(output: Path, tag: str | None) -> None:
    version = project.version()
    _require_publishable(version, tag)
    shutil.rmtree(output, ignore_errors=True)
    dist, assets = output / "dist", output / "assets"
    assets.mkdir(parents=True)
    distributions = _distributions(dist, version)
    functions = _functions(assets, version)
    # Here, since it imports CDK.
    from release.assets import compiler, write_sums

    write_sums(assets, [*distributions, *functions])
    section = next((each for each in changelog.sections() if each.version == version), None)
    notes = changelog.notes(section, project.address(), compiler=compiler()) if section else ""
    (output / "notes.md").write_text(notes)
    _audit()
    _say(f"{output}: dist/ for the index, assets/ and notes.md for the release page")


def _require_publishable(version: str, tag: str | None) -> None:
    from release import public_api

    found = list(
        readiness.obstacles(
            tag or f"v{version}",
            version=version,
            address=project.address(),
            changes=changelog.PATH.read_text(),
            links=project.links(),
            unlisted=public_api.unlisted(),
        )
    )
    if tag:
        from cdk_s3_to_sftp.bundle_builder.compilation import can_compile

        if not can_compile(python := "3.13"):
            found.append(f"There is no Python {python} here, so the function would lack compiled modules.")
        if found:
            raise NotReady("\n  ".join(found))
    for each in found:
        _say(f"before publishing: {each}")


def _distributions(output: Path, version: str) -> tuple[Path, Path]:
    from release import distributions

    sdist, wheel = distributions.build(project.REPOSITORY, output)
    (output / ".gitignore").unlink(missing_ok=True)  # uv's
    with tempfile.TemporaryDirectory() as folder:
        copy = distributions.copy_elsewhere(Path(folder, "copy"))
        again = distributions.build(copy, Path(folder, "dist"))
        distributions.require_same_bytes((sdist, wheel), again)
    _say("sdist and wheel: the same bytes from another folder, with other times and modes of the files")
    distributions.check_metadata((sdist, wheel))
    links = distributions.require_absolute_links(distributions.description(wheel))
    _say(f"metadata: accepted by twine; the long description renders, and its {links} links are absolute")
    for each in (sdist, wheel):
        distributions.try_out(each, version)
        _say(f"{each.name}: installs in a fresh environment, and the app of the README synthesises")
    return sdist, wheel


def _functions(output: Path, version: str) -> list[Path]:
    from cdk_s3_to_sftp.bundle_builder.target import CannotBuild
    from cdk_s3_to_sftp.package import ARCHITECTURES
    from release import assets, licences

    stem = f"s3-to-sftp-{version}"
    files: list[Path] = []
    try:
        for each in ARCHITECTURES:
            files += assets.write_function(
                output, each, stem=stem, version=version, released=_released(version)
            )
            _say(f"{stem}-{each}: the same function and template from two builds; licences allowed")
    except CannotBuild as reason:
        raise NotReady(str(reason)) from reason
    texts = output / f"{stem}-licences.txt"
    texts.write_text(licences.texts(assets.components_in(files[0])), encoding="utf-8")
    return [*files, texts]


def _released(version: str) -> date:
    """Return the day that the changelog gives the version, or today."""
    found = next((each.released for each in changelog.sections() if each.version == version), None)
    return found or datetime.now(UTC).date()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
