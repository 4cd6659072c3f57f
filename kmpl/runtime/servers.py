"""Servers on this machine: their ports, their settings, and waiting until they answer."""

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
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of this machine's pages


def check_port(port: int, what: str, flag: str) -> None:
    """Refuse a port that cannot be listened on.

    Raises:
        UserError: names the port, who wanted it and the flag that changes it.
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
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(url: str, timeout: float = 2.0) -> bool:
    """Say whether a GET of ``url`` succeeds; only what is not on this machine is asked through a proxy."""
    try:
        local = urllib.parse.urlsplit(url).hostname in proxies.LOCAL
        with (_DIRECT if local else urllib.request.build_opener()).open(url, timeout=timeout) as page:
            return int(page.status) < 400
    except (OSError, ValueError, urllib.error.URLError):
        return False


def wait_for(url: str, seconds: float) -> bool:
    """Wait until ``url`` answers; return False if it does not within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers(url):
            return True
        time.sleep(0.1)
    return False


def prefect_settings(mlruns: Path) -> dict[str, str]:
    """Return the environment of everything that talks to Prefect on this machine; what is set already, wins.

    Prefect's database lives below ``mlruns`` like everything else, nothing is reported to its makers, and results stay
    in kmpl's own store.

    Proxies that Prefect's client cannot even be told of are emptied, whoever set them.
    """
    wanted = {
        "PREFECT_HOME": str(mlruns.resolve() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "true",
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()} | proxies.without_socks(os.environ)


def masked(text: str) -> str:
    """Return text without the passwords of the addresses in it.

    >>> masked("postgresql://me:secret@host/db redis://:secret@host")
    'postgresql://me:***@host/db redis://:***@host'
    """
    return re.sub(r"(://[^:/@\s]*):[^@\s]+@", r"\1:***@", text)
