"""Set-up: pins are complete, and a machine that cannot run kmpl is told so in one line."""

import os
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

import pytest

ROOT = Path(__file__).parents[2]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): version for name, version in pairs}


def needed(name: str, extras: tuple[str, ...], seen: set[str]) -> set[str]:
    """Return the names of all installed packages that ``name`` needs, transitively."""
    from packaging.requirements import Requirement

    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        wanted = any(requirement.marker.evaluate({"extra": e}) for e in ("", *extras)) if requirement.marker else True
        key = canonical(requirement.name)
        if wanted and key not in seen:
            seen.add(key)
            needed(requirement.name, tuple(requirement.extras), seen)
    return seen


def test_every_transitive_requirement_is_pinned_to_what_is_installed() -> None:
    pinned, wrong = pins(), []
    for name in sorted(needed("kmpl", ("dev",), set())):
        if name != "setuptools" and pinned.get(name) != metadata.version(name):
            wrong.append(f"{name}: installed {metadata.version(name)}, pinned {pinned.get(name)}")
    assert not wrong


def test_extras_are_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"dev", "dask", "postgres"} <= project["optional-dependencies"].keys()
    for requirements in project["optional-dependencies"].values():
        for requirement in requirements:
            assert canonical(re.split(r"[<>=\[]", requirement)[0]) in pins()


def fake_python(folder: Path, script: str) -> Path:
    path = folder / "python-of-test"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def without_make() -> dict[str, str]:
    """Return the environment of a `make` that another `make`, which runs these tests, does not share its jobs with."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('case "$*" in *version_info*) exit 1;; *) echo "Python 3.9.2";; esac', "kmpl needs Python 3.11 or newer"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "kmpl needs Python's venv module"),
    ],
)
def test_make_names_what_the_machine_lacks_in_one_line(script: str, said: str, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    python = fake_python(tmp_path, script)
    command = ["make", "demo", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=without_make())
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "***" not in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / ".venv").exists()


def test_a_second_make_installs_nothing() -> None:
    command = ["make", "--dry-run", "install"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=without_make())
    if (ROOT / ".venv" / "installed").exists():
        assert "pip install" not in planned.stdout
    else:
        assert "pip install" in planned.stdout


def offer(index: Path, version: str) -> str:
    """Make a package index that offers one wheel of torch, empty but for its name; return its address."""
    folder = index / "torch"
    folder.mkdir(parents=True)
    wheel, about = folder / f"torch-{version}-py3-none-any.whl", f"torch-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{quote(wheel.name)}">{wheel.name}</a>', encoding="utf-8")
    return index.as_uri()


def test_where_pytorchs_cpu_index_is_given_its_build_of_the_pinned_version_is_taken(tmp_path: Path) -> None:
    """make install PIP_EXTRA_INDEX_URL=…, with pip's own choice between two indexes on this machine."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    version = pins()["torch"]
    pypi, cpu = offer(tmp_path / "pypi", version), offer(tmp_path / "cpu", f"{version}+cpu")
    pip = f"exec {sys.executable} -m pip download --quiet --no-deps --constraint constraints.txt --dest got torch"
    venv = f"mkdir -p .venv/bin; printf '#!/bin/sh\\n{pip}\\n' > .venv/bin/python; chmod +x .venv/bin/python"
    python = fake_python(tmp_path, f'case "$*" in "-m venv .venv") {venv};; esac')
    words = ["make", "install", f"PYTHON={python}", f"PIP_EXTRA_INDEX_URL={cpu}"]
    outside = os.environ | {"PIP_INDEX_URL": pypi, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    outside = {name: value for name, value in outside.items() if name not in ("PIP_NO_INDEX", "PIP_FIND_LINKS")}
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, env=outside)
    assert [path.name for path in (tmp_path / "got").iterdir()] == [f"torch-{version}+cpu-py3-none-any.whl"]


def test_where_the_environment_is_activated_kmpl_is_a_command(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=tmp_path, check=True)
    fake_python(tmp_path, "echo found").rename(tmp_path / ".venv" / "bin" / "kmpl")
    done = subprocess.run(["sh", "-c", ". .venv/bin/activate; kmpl"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"found\n"


def test_ci_calls_make_test() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
