"""The construct uses the function's modules that came with it, whatever the app calls its own."""

import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import sys
{before}
from cdk_s3_to_sftp import DeliveryRules, InvalidRule, Sequence, profiles
import s3_to_sftp

assert s3_to_sftp.MINE == 1, s3_to_sftp
try:
    DeliveryRules(name="x")
except InvalidRule as error:
    print(type(error).__module__, [name for name in sys.modules if name.startswith("s3_to_sftp.")])
print(DeliveryRules(name="{{sequence}}", sequence=Sequence()).zone, profiles.adyen_batch.__module__)
"""


@pytest.mark.parametrize("before", ["", "import s3_to_sftp.mine"], ids=["later", "first"])
def test_module_of_the_app_with_our_name_stays_its_own(tmp_path: Path, before: str) -> None:
    (tmp_path / "s3_to_sftp").mkdir()
    (tmp_path / "s3_to_sftp" / "__init__.py").write_text("MINE = 1\n")
    (tmp_path / "s3_to_sftp" / "mine.py").touch()
    (tmp_path / "app.py").write_text(APP.format(before=before))
    run = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()
    assert first == f"s3_to_sftp.rules.invalid {['s3_to_sftp.mine'] if before else []}"
    assert second.startswith("UTC s3_to_sftp.rules.profiles")


def test_sys_path_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "s3_to_sftp.py").write_text("MINE = 1\n")
    (tmp_path / "app.py").write_text(
        "import sys; before = list(sys.path); import cdk_s3_to_sftp; print(before == sys.path)"
    )
    run = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"
