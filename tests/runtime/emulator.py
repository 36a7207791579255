"""AWS's own Lambda runtime under AWS's own runtime interface emulator, as `sam local invoke` has them.

The emulator is a binary inside the `aws-sam-cli` package; the runtime client is `awslambdaric`.
"""

import json
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from local.packaging.artifact import find_python
from tests import processes
from tests.deploy.translated import ROOT
from tests.ports import free_port


def runtime_client(target: Path) -> tuple[str, dict[str, str]]:
    """Give the Python that is to run the artifact, and the environment in which it finds AWS's runtime client.

    The function's own Python where this host has it, so that the artifact's bytecode is what runs; else this
    one, on the artifact's sources.

    Args:
        target: an empty folder to install the client into.
    """
    python = find_python()
    if python is None:
        return sys.executable, {"PYTHONDONTWRITEBYTECODE": "1"}
    install(target, "awslambdaric", "simplejson", "snapshot-restore-py")
    return python, {"PYTHONPATH": str(target)}


def install(target: Path, *names: str) -> None:
    """Install packages at the versions of the tests' own lock, as wheels for the function's Python.

    Args:
        target: an empty folder.
        names: the packages, and what they need.
    """
    locked = (ROOT / "requirements-dev.txt").read_text()
    pins = (re.findall(rf"^{n}==[^\n]*\\\n(?:    --hash.*\n)+", locked, re.MULTILINE) for n in names)
    lock = target / "lock.txt"
    lock.write_text("".join(pin for some in pins for pin in some))
    platforms = [f"--platform=manylinux{tag}_{platform.machine()}" for tag in ("_2_28", "_2_17", "2014")]
    processes.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"),
            *("--only-binary=:all:", "--python-version=3.13", *platforms, "--platform=any"),
            *(f"--target={target}", f"--requirement={lock}"),
        ],
        check=True,
        capture_output=False,
    )


_EMULATORS = re.compile(r"\d\d \w{3} \d{4} .* \(rapid\) |(START|END|REPORT|INIT_REPORT) ")


class LambdaRuntime:
    """A function under the emulator; a context manager. One emulator serves one request at a time.

    Args:
        folder: the function's code, as on Lambda.
        environment: the function's whole environment.
        scratch: where the emulator's log goes.
        python: the Python that runs the function, with awslambdaric.
        timeout: the seconds that the function has.
        handler: the function.
    """

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        scratch: Path,
        python: str = sys.executable,
        timeout: int = 30,
        handler: str = "handler.app.lambda_handler",
    ) -> None:
        self.handler = handler
        self.folder, self.scratch, self.python = folder, scratch, python
        self.environment = environment | {
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "AWS_LAMBDA_FUNCTION_NAME": "oam-status-publisher",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "LAMBDA_TASK_ROOT": str(folder),
        }

    def __enter__(self) -> Self:
        machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
        binary = self.scratch / "aws-lambda-rie"
        with files("samcli.local.rapid").joinpath(f"aws-lambda-rie-{machine}").open("rb") as source:
            binary.write_bytes(source.read())
        binary.chmod(0o755)
        self.port = free_port()
        self.log = self.scratch / "runtime.log"
        command = [
            str(binary),
            f"--runtime-interface-emulator-address=127.0.0.1:{self.port}",
            f"--runtime-api-address=127.0.0.1:{free_port()}",
            self.python,
            "-m",
            "awslambdaric",
            self.handler,
        ]
        with self.log.open("wb") as log:
            self.process = processes.start(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        raise TimeoutError(self.log.read_text())

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.scratch / "aws-lambda-rie", ignore_errors=True)

    def invoke(self, event: dict[str, Any]) -> Any:
        """Invoke the function; give what it answers, or the error that Lambda makes of its exception."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations",
            json.dumps(event).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def logged(self, text: str, seconds: float = 10) -> str:
        """Wait until the log holds a text; give the log.

        The function's lines pass through the emulator, which answers before it has written them all, and
        kills the function when it is told to end.

        Raises:
            TimeoutError: when the text is not there in time.
        """
        end = time.monotonic() + seconds
        while text not in (log := self.log.read_text()):
            if time.monotonic() > end:
                raise TimeoutError(f"{text!r} is not in the log: {log}")
            time.sleep(0.02)
        return log

    def own_lines(self) -> list[str]:
        """Give the lines of the log that are the function's and its runtime's, not the emulator's."""
        return [line for line in self.log.read_text().splitlines() if line and not _EMULATORS.match(line)]
