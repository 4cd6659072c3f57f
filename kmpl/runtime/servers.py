"""Servers on this machine: ports, Prefect's settings, and waiting for an answer."""

import os
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from kmpl.errors import UserError
from kmpl.runtime import proxies

HOST = "127.0.0.1"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches this machine's servers


def check_port(port: int, what: str, flag: str) -> None:
    """Refuse a port that is not free.

    Args:
        port: of this machine.
        what: the server that needs it, for the message.
        flag: the flag of the command line that changes it, for the message.

    Raises:
        UserError: a process listens on the port, or it is no valid port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"port {port} on {HOST} cannot be used for {what} ({error}); choose another with {flag}"
            ) from error


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(url: str, timeout: float = 2.0) -> bool:
    """Return whether a GET of ``url`` succeeds within ``timeout`` seconds; this machine is reached without a proxy."""
    try:
        local = urllib.parse.urlsplit(url).hostname in proxies.LOCAL
        with (_DIRECT if local else urllib.request.build_opener()).open(url, timeout=timeout) as page:
            return int(page.status) < 400
    except (OSError, ValueError, urllib.error.URLError):
        return False


def wait_for(url: str, seconds: float) -> bool:
    """Wait until ``url`` answers; return False if it does not within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers(url):
            return True
        time.sleep(0.1)
    return False


def prefect_settings(mlruns: Path) -> dict[str, str]:
    """Return the environment for all processes that use Prefect on this machine; variables that are set stay.

    Prefect's database lies below ``mlruns``, and its usage reports are off. Proxies that would crash Prefect's client
    are emptied, whoever set them.
    """
    defaults = {
        "PREFECT_HOME": str(mlruns.resolve() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "true",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()} | proxies.without_socks(os.environ)


def masked(text: str) -> str:
    """Return a text with the passwords in its addresses replaced by ``***``.

    >>> masked("postgresql://me:secret@host/db redis://:secret@host")
    'postgresql://me:***@host/db redis://:***@host'
    """
    return re.sub(r"(://[^:/@\s]*):[^@\s]+@", r"\1:***@", text)
