"""Run several processes together with honcho: if one dies, report why and stop all with their descendants."""

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

GRACE_SECONDS = 8.0
"""Time between the request to stop and the kill."""
_ERROR_LINE = re.compile(r"(?=\S).*(Error|Exception|Errno)\b")


class _Log(Printer):
    """Honcho's printer into a file; it keeps the last line and the last error line of each process."""

    def __init__(self, output: IO[str]) -> None:
        super().__init__(output, colour=False)
        self.last_lines: dict[str, str] = {}
        self.last_errors: dict[str, str] = {}

    def write(self, message: Message) -> None:
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        for line in text.splitlines():
            if any(map(str.isalnum, line)):  # neither empty nor the edge of a box
                self.last_lines[message.name] = line.strip()
            if _ERROR_LINE.match(line):  # in a traceback, code is indented, and the error is not
                self.last_errors[message.name] = line.strip()
        super().write(message)


class Processes(Manager):
    """Commands that run together until one of them ends, and a task beside them.

    Attributes:
        stopping: Set as soon as the processes are to stop.
    """

    def __init__(self, output: IO[str]) -> None:
        self.log = _Log(output)
        super().__init__(self.log)
        self.stopping = threading.Event()
        self.dead_process: str | None = None
        self.failure: Exception | None = None

    def run(self, startup: Callable[[], None]) -> None:
        """Start all processes, call ``startup`` in a thread, and return when a signal has stopped the processes.

        Raises:
            UserError: a process ended by itself, or ``startup`` failed; then all processes have been stopped.
        """
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        previous = {number: signal.getsignal(number) for number in signals}
        signal.signal(signal.SIGHUP, lambda *_: self.terminate())  # the terminal was closed
        self._startup_thread = threading.Thread(target=self._start_up_then_stop, args=[startup])
        try:
            self.loop()
            self._startup_thread.join()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self.dead_process is not None:
            name = self.dead_process
            line = self.log.last_errors.get(name) or self.log.last_lines.get(name, "none")
            raise UserError(f"{name} stopped; its last line: {line}")
        if self.failure is not None:
            raise self.failure

    def terminate(self) -> None:
        """Ask the startup thread to stop all processes. Honcho calls this on a signal and when a process ends."""
        if not self.stopping.is_set():
            dead = (name for name, process in self._processes.items() if "returncode" in process)
            self.dead_process = next(dead, None)
            self.stopping.set()

    def _start(self) -> None:
        super()._start()
        self._startup_thread.start()  # only now: no process may be forked after a thread has started

    def _start_up_then_stop(self, startup: Callable[[], None]) -> None:
        try:
            startup()
        except Exception as error:
            if not self.stopping.is_set():  # otherwise it failed because its servers were being stopped
                self.failure = error
                self.stopping.set()
        self.stopping.wait()
        while not self._all_started():  # a process without a number yet cannot be stopped
            time.sleep(0.05)
        groups = _descendant_groups()
        end = time.monotonic() + GRACE_SECONDS
        super().terminate()
        while not self._all_stopped() and time.monotonic() < end:
            time.sleep(0.05)
        for group in groups:  # processes that ignore the request, and those that outlived their parent
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)


def _descendant_groups() -> set[int]:
    """Return the process groups of all descendants; Prefect gives each run a group of its own."""
    try:
        listing = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,pgid="], text=True)
    except (OSError, subprocess.CalledProcessError):
        return set()  # a container without ps: then only processes that obey their worker are stopped
    rows = [tuple(map(int, line.split())) for line in listing.splitlines()]
    family = [os.getpid()]
    groups = set[int]()
    for parent in family:  # the list grows during the loop
        family += [pid for pid, ppid, _ in rows if ppid == parent]
        groups |= {group for _, ppid, group in rows if ppid == parent}
    return groups - {os.getpgrp()}
