"""The container definitions: well-formed, alike, and installed from what an image is given, as the README says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from spython.main.parse.parsers import get_parser

ROOT = Path(__file__).parents[2]
INSTALL = r"pip install (?:--no-cache-dir )?--constraint constraints\.txt"


def test_hadolint_finds_nothing() -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_both_images_are_built_alike_and_as_the_readme_installs() -> None:
    docker = get_parser("docker")(str(ROOT / "Dockerfile")).parse()["spython-base"]
    apptainer = get_parser("singularity")(str(ROOT / "apptainer.def")).parse()["spython-base"]
    assert docker.fromHeader == apptainer.fromHeader
    for packages in ((ROOT / name).read_text() for name in ("Dockerfile", "apptainer.def")):
        assert "--no-install-recommends gcc libc6-dev" in packages
        assert re.search(INSTALL + r" '\.\[slurm\]'", packages)
    assert re.search(INSTALL + r" \.$", (ROOT / "README.md").read_text(), re.MULTILINE)


def given_to_images() -> set[str]:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    return {line.removeprefix("!") for line in ignored if line.startswith("!")}


def test_both_images_get_the_same_files() -> None:
    files = re.findall(r"^    (\S+) /opt/virnucpro/\1$", (ROOT / "apptainer.def").read_text(), re.MULTILINE)
    assert set(files) == given_to_images()


@pytest.mark.slow
def test_the_files_of_an_image_are_enough_for_a_wheel(tmp_path: Path) -> None:
    for name in given_to_images():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
    ended = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(list((tmp_path / "dist").glob("virnucpro-*.whl"))) == 1
