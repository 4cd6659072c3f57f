"""Processes side by side: honcho's manager, which also says who died and why, and leaves nobody behind."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO

from honcho.manager import Manager
from honcho.printer import Message, Printer

from kmpl.errors import UserError

GRACE = 8.0
"""Seconds between the request to stop and the kill."""
_COMPLAINT = re.compile(r"(?=\S).*(Error|Exception|Errno)\b")


class _Log(Printer):
    """Honcho's printer into a file, which remembers what each process said last: its last error if there was one."""

    def __init__(self, output: IO[str]) -> None:
        super().__init__(output, colour=False)
        self.last: dict[str, str] = {}
        self.errors: dict[str, str] = {}

    def write(self, message: Message) -> None:
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        for line in text.splitlines():
            if any(map(str.isalnum, line)):  # neither empty nor the edge of a box
                self.last[message.name] = line.strip()
            if _COMPLAINT.match(line):  # lines of code in a traceback are indented, its reason is not
                self.errors[message.name] = line.strip()
        super().write(message)


class Processes(Manager):
    """Commands that live and die together, and what is to be done once they have started.

    Attributes:
        stopping: Set as soon as the end has been asked for.
    """

    def __init__(self, output: IO[str]) -> None:
        self.log = _Log(output)
        super().__init__(self.log)
        self.stopping = threading.Event()
        self.died: str | None = None
        self.failure: Exception | None = None

    def run(self, opening: Callable[[], None]) -> None:
        """Start all processes, do ``opening`` beside them, and return when a signal has stopped them.

        Raises:
            UserError: one of them stopped by itself, or ``opening`` failed; then all have been stopped.
        """
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in signals}
        signal.signal(signal.SIGHUP, lambda *_: self.terminate())  # the terminal was closed
        self._beside = threading.Thread(target=self._open_then_stop, args=[opening])
        try:
            self.loop()
            self._beside.join()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.died is not None:
            words = self.log.errors.get(self.died) or self.log.last.get(self.died, "none")
            raise UserError(f"{self.died} stopped; its last words: {words}")
        if self.failure is not None:
            raise self.failure

    def terminate(self) -> None:
        """Ask for the end; the thread beside the loop brings it. Honcho calls this on a signal or a death."""
        if not self.stopping.is_set():
            self.died = next((name for name, process in self._processes.items() if "returncode" in process), None)
            self.stopping.set()

    def _start(self) -> None:
        super()._start()
        self._beside.start()  # only now: processes are forked before there are threads

    def _open_then_stop(self, opening: Callable[[], None]) -> None:
        try:
            opening()
        except Exception as error:
            if not self.stopping.is_set():  # else it failed because its servers were being stopped
                self.failure = error
                self.stopping.set()
        self.stopping.wait()
        while not self._all_started():  # a process without a number yet cannot be stopped
            time.sleep(0.05)
        groups, end = _groups_below(), time.monotonic() + GRACE
        super().terminate()
        while not self._all_stopped() and time.monotonic() < end:
            time.sleep(0.05)
        for group in groups:  # whoever is deaf, and whoever outlived its parent
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)


def _groups_below() -> set[int]:
    """Return the process groups of all descendants; Prefect gives each run a group of its own."""
    try:
        listing = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,pgid="], text=True)
    except (OSError, subprocess.CalledProcessError):
        return set()  # a container without ps: then only those are stopped that heed their worker
    rows = [tuple(map(int, line.split())) for line in listing.splitlines()]
    below, groups = [os.getpid()], set[int]()
    for parent in below:  # grows as it goes
        below += [pid for pid, ppid, _ in rows if ppid == parent]
        groups |= {group for _, ppid, group in rows if ppid == parent}
    return groups - {os.getpgrp()}
