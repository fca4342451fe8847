"""Bundling in Docker with Lambda's build image: it gives the same bundle, which works in the image.

`.ci/lambda-build-image` builds the image where it cannot be pulled.
"""

import os
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cdk_s3_to_sftp import bundle_builder
from cdk_s3_to_sftp.bundle_builder.target import Target
from cdk_s3_to_sftp.bundling import find_source
from local.sftp_server import start_asyncssh_server
from tests.infra.conftest import ARM64, REPOSITORY, X86_64
from tests.infra.stock_app import synth
from tests.support.infra.bundles import hashes, libraries_for_other_cpus, run_package

IMAGE = "public.ecr.aws/sam/build-python3.13"

CONNECT = """
import sys
sys.path.insert(0, "/var/task")
import boto3, paramiko, s3_to_sftp.handler
from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.server import Server
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.sftp.client import SftpClient, SmallFile

for module in (boto3, paramiko, s3_to_sftp.handler):
    assert module.__file__.startswith("/var/task/"), module.__file__
host, port, host_key, username, password = sys.argv[1:]
partner = SftpClient(
    Server(host=host, port=int(port), host_keys=(host_key,)),
    FixedCredentials(Credentials(username=username, password=password)),
    timeouts=Timeouts(),
)
file = SmallFile(
    ticket=None, path="arrived.txt", temporary=".arrived.part", data=b"from the bundle", aside=".arrived.old"
)
((_, error),) = partner.send_small([file])
partner.close()
assert error is None, error
"""


@pytest.fixture(scope="module")
def docker_command() -> str:
    """The docker command that has the image."""
    command = shutil.which(os.environ.get("CDK_DOCKER", "docker"))
    if command is None:
        pytest.skip(
            "no docker command (set CDK_DOCKER for another, such as the one of .ci/lambda-build-image)"
        )
    # A sandbox may have the command without permission to run it.
    tried = subprocess.run(
        [command, "run", "--rm", "--pull=never", IMAGE, "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"{command} cannot run {IMAGE}: {tried.stderr.strip()[-200:]}")
    return command


Built = Callable[[Target], Path]


@pytest.fixture(scope="module")
def in_docker(docker_command: str, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return the bundle that the image builds, once for each target."""
    folder = tmp_path_factory.mktemp("docker")

    def built(target: Target) -> Path:
        output = folder / target.architecture
        if not output.exists():
            archive = folder / f"{target.architecture}.zip"
            done = run_package(archive, f"--architecture={target.architecture}", CDK_DOCKER=docker_command)
            assert done.returncode == 0, done.stderr
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(output)
        return output

    return built


@pytest.fixture(scope="module")
def here(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return the bundle that this machine builds."""

    def built(target: Target) -> Path:
        if target == X86_64:
            return bundle
        output = tmp_path_factory.mktemp(target.architecture)
        bundle_builder.build(find_source(), output, target)
        return output

    return built


@pytest.mark.parametrize("target", [X86_64, ARM64], ids=lambda target: target.architecture)
def test_docker_and_local_bundles_are_equal(in_docker: Built, here: Built, target: Target) -> None:
    # Compiled modules follow the patch release of the interpreter, which the image decides.
    assert hashes(in_docker(target), compiled=False) == hashes(here(target), compiled=False)


@pytest.mark.parametrize("target", [X86_64, ARM64], ids=lambda target: target.architecture)
def test_native_libraries_of_the_docker_bundle_match_the_cpu(in_docker: Built, target: Target) -> None:
    assert libraries_for_other_cpus(in_docker(target), target) == []


@pytest.mark.parametrize("builder", ["in_docker", "here"])
def test_docker_and_local_bundles_deliver_a_file_in_the_image(
    docker_command: str, builder: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if platform.machine() != "x86_64":
        pytest.skip(f"the image runs on this machine's CPU, which is {platform.machine()}")
    built: Built = request.getfixturevalue(builder)
    with start_asyncssh_server(tmp_path) as server:
        python = ["python3.13", "-I", "-S", "-c", CONNECT]  # no site-packages: the bundle must be complete
        login = [server.host, str(server.port), server.host_key, server.username, server.password or ""]
        mount = f"{built(X86_64)}:/var/task:ro"
        container = ["run", "--rm", "--network=host", "-v", mount, "-e", "AWS_DEFAULT_REGION=eu-west-1"]
        done = subprocess.run(
            [docker_command, *container, IMAGE, *python, *login], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "arrived.txt").read_bytes() == b"from the bundle"


def test_cdk_synth_with_docker_gives_the_same_asset(
    docker_command: str, bundle: Path, tmp_path: Path
) -> None:
    cli = REPOSITORY / "node_modules" / ".bin" / "cdk"
    if not cli.exists():
        pytest.skip("the CDK CLI is not installed (make setup)")
    output = tmp_path / "cdk.out"
    synth(cli, output, "--context=bundling=docker", cwd=REPOSITORY, CDK_DOCKER=docker_command)
    (asset,) = (each for each in output.glob("asset.*") if each.is_dir())
    assert hashes(asset, compiled=False) == hashes(bundle, compiled=False)
