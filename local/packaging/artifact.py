"""Builds what is deployed: the function and its pinned packages, ready for Lambda.

Called by `sam build` (the makefile target `build-StatusPublisher`), with nothing but the standard library, so
that any Python from 3.11 on can do it. The packages are all pure Python: one artifact fits both processors.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = (3, 13)  # the function's; template.yaml, Runtime

# botocore describes 400 services; the function calls these. The files beside them are botocore's own.
SERVICES = {"s3", "secretsmanager", "sqs"}


class BuildError(Exception):
    """Raised when the artifact can't be built."""


def main() -> int:
    """Build the artifact.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python local/packaging/artifact.py", description=__doc__)
    parser.add_argument("target", type=Path, help="folder for the artifact; what is in it is removed")
    parser.add_argument("--describe", action="store_true", help="only say what the artifact in there is like")
    arguments = parser.parse_args()
    try:
        if not arguments.describe:
            build(arguments.target)
        print(describe(arguments.target), flush=True)
    except (BuildError, OSError) as error:
        print(f"The artifact was not built: {error}", file=sys.stderr)
        return 1
    return 0


def build(target: Path) -> None:
    """Build the artifact.

    Args:
        target: the folder for it; what is in it is removed.

    Raises:
        BuildError: when a package can't be installed or compiled.
    """
    if target.exists():
        shutil.rmtree(target)
    _install(target)
    shutil.copytree(ROOT / "handler", target / "handler", ignore=shutil.ignore_patterns("__pycache__"))
    _prune(target)
    binaries = [str(path.relative_to(target)) for path in target.rglob("*.so")]
    if binaries:
        raise BuildError(f"a package is not pure Python, and would not fit both processors: {binaries}")
    python = find_python()
    if python:
        _compile(target, python)


def describe(target: Path) -> str:
    """Say how large an artifact is, and whether it has bytecode.

    Args:
        target: its folder.

    Raises:
        BuildError: when there is none.
    """
    files = [path for path in target.rglob("*") if path.is_file()]
    if not files:
        raise BuildError(f"there is none in {target}")
    size = sum(path.stat().st_size for path in files) / 1e6
    version = ".".join(map(str, PYTHON))
    if any(path.suffix == ".pyc" for path in files):
        return f"{target}: {size:.1f} MB, with bytecode of Python {version}"
    return (
        f"{target}: {size:.1f} MB, WITHOUT bytecode, as there was no Python {version} here: "
        "every cold start compiles it all, and takes about twice as long"
    )


def _install(target: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--requirement", str(ROOT / "requirements.txt"), "--require-hashes", "--no-deps"),
        *("--target", str(target), "--no-compile", "--only-binary=:all:"),
        *("--platform", "any", "--implementation", "cp", "--python-version", ".".join(map(str, PYTHON))),
    ]
    if subprocess.run(command, check=False).returncode:
        raise BuildError("pip failed")


def _prune(target: Path) -> None:
    """Remove what the function does not need, and what differs from build to build."""
    for path in (target / "botocore" / "data").iterdir():
        if path.is_dir() and path.name not in SERVICES:
            shutil.rmtree(path)
    # The endpoints of all 400 services: 1.2 MB of JSON, read by each cold start.
    path = target / "botocore" / "data" / "endpoints.json"
    endpoints = json.loads(path.read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {k: v for k, v in partition["services"].items() if k in SERVICES}
    path.write_text(json.dumps(endpoints))
    # boto3's data and examples are those of its resources, which no client needs.
    for unused in ("bin", "boto3/data", "boto3/examples"):
        shutil.rmtree(target / unused, ignore_errors=True)
    for folder in target.glob("*/tests"):
        shutil.rmtree(folder)
    for path in target.rglob("*.dist-info/*"):
        if path.name in {"RECORD", "REQUESTED", "INSTALLER", "direct_url.json"}:
            path.unlink()


def _compile(target: Path, python: str) -> None:
    # Unchecked: Lambda's task folder is read-only, and its files' times are not those of the build.
    # One worker and a fixed seed: the same bytes at every build.
    command = [
        *(python, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(target), "-p", "/var/task", str(target)),
    ]
    if subprocess.run(command, check=False, env={"PYTHONHASHSEED": "0"}).returncode:
        raise BuildError(f"{python} failed to compile")


def find_python() -> str | None:
    """Find the function's own Python: this one, one on the PATH, or pyenv's; None if there is none."""
    for candidate in _candidates():
        question = f"import sys; sys.exit(sys.version_info[:2] != {PYTHON})"
        try:
            answer = subprocess.run([candidate, "-c", question], check=False, capture_output=True)
        except OSError:
            continue
        if answer.returncode == 0:
            return candidate
    return None


def _candidates() -> Iterator[str]:
    name = "python{}.{}".format(*PYTHON)
    yield sys.executable
    yield name  # a shim of pyenv's may be there and not work
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for path in sorted(pyenv.glob(f"versions/{name.removeprefix('python')}*/bin/{name}")):
        yield str(path)


if __name__ == "__main__":
    sys.exit(main())
