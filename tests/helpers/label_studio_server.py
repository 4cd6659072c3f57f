"""A real Label Studio server for tests: SQLite, on this machine, nothing sent anywhere."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from photographs import CLASSES

from kmpl.runtime.servers import HOST, free_port, wait_for

VERSION = "1.23.2"
"""The version that is installed where there is none."""
TOKEN = "0123456789abcdef0123456789abcdef01234567"
_SECONDS_TO_START = 240
_PERSON = ("--username", "a@example.org", "--password", "passpass123", "--user-token", TOKEN)


def program(folder: Path) -> str:
    """Return Label Studio's program: that of KMPL_LABEL_STUDIO_BIN or of the path, or one installed into a folder."""
    found = os.environ.get("KMPL_LABEL_STUDIO_BIN") or shutil.which("label-studio")
    if found:
        return found
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    fresh = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    install = [str(folder / "bin" / "pip"), "install", "--quiet", f"label-studio=={VERSION}"]
    subprocess.run(install, check=True, env=fresh)
    return str(folder / "bin" / "label-studio")


class LabelStudio:
    """A server whose document root is a folder.

    Args:
        program: what to start.
        data: folder of its database.
        root: its document root.
        serves: it may read the images below its root.
    """

    def __init__(self, program: str, data: Path, root: Path, *, serves: bool = True) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Token {TOKEN}"}, timeout=60)
        self._program = program
        self._data = data
        self._settings = {
            "LABEL_STUDIO_BASE_DATA_DIR": str(data),
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": str(serves).lower(),
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
            "COLLECT_ANALYTICS": "False",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._data.mkdir(parents=True, exist_ok=True)
        command = [self._program, "start", "--no-browser", "--port", str(self.port), "--internal-host", HOST]
        with (self._data / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *_PERSON, "--enable-legacy-api-token"],
                stdout=log,
                stderr=log,
                env=os.environ | self._settings,
                start_new_session=True,
            )
        assert wait_for(f"{self.url}/api/version", _SECONDS_TO_START), (self._data / "server.log").read_text()[-2000:]

    def kill(self) -> None:
        """Kill it with all that it has started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Return what it answers."""
        answer = self.http.request(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def make(self, title: str, interface: str) -> int:
        """Make a project as a person does; return its number."""
        return int(self.ask("POST", "/api/projects", json={"title": title, "label_config": interface})["id"])

    def number(self, title: str) -> int:
        """Return the number of the only project of that title."""
        (one,) = [p for p in self.ask("GET", "/api/projects?page_size=100")["results"] if p["title"] == title]
        return int(one["id"])

    def tasks(self, project: int) -> dict[str, dict[str, Any]]:
        """Return all tasks of a project, with annotations and predictions, by image."""
        listed = self.ask("GET", "/api/tasks", params={"project": project, "page_size": 1000, "fields": "all"})
        return {task["data"]["file"]: task for task in listed["tasks"]}

    def annotate(self, project: int, labels: Mapping[str, str]) -> None:
        """Annotate images as people do."""
        tasks = self.tasks(project)
        for file, label in labels.items():
            value = {"choices": [label]}
            result = [{"from_name": "choice", "to_name": "image", "type": "choices", "value": value}]
            self.ask("POST", f"/api/tasks/{tasks[file]['id']}/annotations", json={"result": result})


def given(truth: dict[str, str], n: int, start: int = 0) -> dict[str, str]:
    """Return so many labels of each class."""
    files = {name: sorted(file for file, label in truth.items() if label == name) for name in CLASSES}
    return {file: name for name in CLASSES for file in files[name][start : start + n]}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
