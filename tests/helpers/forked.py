"""Processes with kmpl and its libraries imported already: importing takes four seconds of a processor, a fork none.

A command so started is a process like any other: memory, signals, files, threads and exit status of its own. Only its
modules are older than itself. A test whose subject is what is imported, the environment that libraries read while they
are, or the installed script starts Python itself.

The first process of a test run imports, waits, and forks whatever is asked for; it ends with the tests' own process.
"""

import atexit
import ctypes
import functools
import gc
import importlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_IMPORTED = (
    "kmpl.cli",
    "kmpl.commands.label",
    "kmpl.commands.review",
    "kmpl.commands.run",
    "kmpl.commands.sweep",
    "kmpl.jobs.sweep",
    "kmpl.jobs.tune",
    "kmpl.jobs.label_folder",
    "kmpl.jobs.review_folder",
    "kmpl.review.app",
    "kmpl.tuning.study",
    "matplotlib.backends.backend_agg",
    "torch._dynamo",  # what exports a model
)
_set_by_imports: dict[str, str] = {}
"""Environment variables that importing has set."""
_SET_CHILD_SUBREAPER = 36  # of Linux's prctl: processes whose parent has ended become children of this one
_BYTES = 1_000_000  # of a request, at most


class Forked(subprocess.Popen[str]):
    """A process for ``[script, *words]``, ``[python, "-m", "kmpl.cli", *words]`` or ``[python, "-c", text, *words]``.

    It is a child of this process, so all that ``Popen`` can do holds. Text alone; no ``preexec_fn``. Where the system
    is not Linux, Python is started as usual.
    """

    def __init__(self, command: list[str], **more: Any) -> None:
        super().__init__(command, text=True, **more)

    def _execute_child(self, *given: Any) -> None:
        if sys.platform != "linux":
            super()._execute_child(*given)  # type: ignore[misc]
            return
        of = inspect.signature(super()._execute_child).bind(*given).arguments  # type: ignore[misc]
        assert of["preexec_fn"] is None
        ends = [("p2cread", 0), ("c2pwrite", 1), ("errwrite", 2)]
        fds = [of[name] if of[name] >= 0 else own for name, own in ends]
        cwd, env = of["cwd"] or Path.cwd(), os.environ if of["env"] is None else of["env"]
        session = bool(of["start_new_session"])
        request = {"words": list(map(str, of["args"])), "cwd": str(cwd), "env": dict(env), "session": session}
        self.pid = _ask(json.dumps(request).encode(), fds)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(of[name] for name in pipes))  # type: ignore[attr-defined]


def run_forked(command: list[str], *, timeout: float = 300, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as ``subprocess.run`` does with its output captured."""
    with Forked(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


@functools.cache
def _server() -> socket.socket:
    """Start the process that forks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BYTES)
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno())]
        server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _ask(request: bytes, fds: list[int]) -> int:
    """Have a process forked whose parent is this one; return its number."""
    server, prctl = _server(), ctypes.CDLL(None).prctl
    prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        socket.send_fds(server, [request], fds)
        pid = int(server.recv(64))
        assert server.recv(64) == b"is yours"
    finally:
        prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    return pid


def _serve(asked: socket.socket) -> Callable[[], Any] | None:
    """Fork for each request; return in each process what it has to do, and None in this one at the end."""
    while True:
        text, fds, _, _ = socket.recv_fds(asked, _BYTES, 3)
        if not text:
            return None
        if not (between := os.fork()):
            if pid := os.fork():
                asked.send(str(pid).encode())
                os._exit(0)  # whose child's parent is now the process that asked
            asked.close()
            return _become(json.loads(text), fds)
        os.waitpid(between, 0)
        for fd in fds:
            os.close(fd)
        asked.send(b"is yours")


def _become(request: dict[str, Any], fds: list[int]) -> Callable[[], Any]:
    """Make this process the one that is asked for; return what it has to do."""
    if request["session"]:
        os.setsid()
    for own, fd in enumerate(fds):
        os.dup2(fd, own)
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(_set_by_imports | request["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _, *words = request["words"]
    if words[:1] == ["-c"]:
        sys.argv = ["-c", *words[2:]]
        return functools.partial(exec, compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    sys.argv = ["kmpl", *(words[2:] if words[:2] == ["-m", "kmpl.cli"] else words)]
    cli = importlib.import_module("kmpl.cli")
    return lambda: sys.exit(cli.main())


if __name__ == "__main__":
    sys.path[0] = ""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    before = dict(os.environ)
    gc.disable()
    for name in _IMPORTED:
        importlib.import_module(name)
    _set_by_imports.update(os.environ.items() - before.items())
    gc.enable()
    gc.freeze()  # what is imported is looked at no more, so that processes go on sharing it
    todo = _serve(socket.socket(fileno=int(sys.argv[1])))
    if todo is not None:
        todo()
