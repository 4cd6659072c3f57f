"""Proxy settings: servers on this machine are reached directly, because a company's proxy cannot reach them."""

import os
from collections.abc import Mapping
from importlib.util import find_spec

LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
"""Names of this machine in the addresses of its servers."""
added: dict[str, str] = {}
"""Environment variables that ``pass_by`` has set in this process."""


def pass_by() -> None:
    """Let this process and its children reach servers on this machine without a proxy.

    All HTTP clients read the environment, so the change applies to each of them. Both spellings are set, because most
    clients prefer the lower-case one and some read only one.
    """
    added.update(exceptions(os.environ))
    os.environ.update(added)


def exceptions(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``no_proxy`` and ``NO_PROXY`` with this machine added; empty if no proxy is set or nothing is missing.

    The user's entries stay, but in a form that httpx accepts: it takes the brackets of ``[::1]`` for a port, and
    crashes on a network like ``fd00::/8``, which no client in Python supports.

    >>> exceptions({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": ".corp,127.0.0.1"})["NO_PROXY"]
    '.corp,127.0.0.1,localhost,::1,0.0.0.0'
    """
    names = ("no_proxy", "NO_PROXY")
    if not any(name.lower().endswith("_proxy") and value for name, value in environment.items() if name not in names):
        return {}
    current = {name: environment.get(name) for name in names}
    either = next((value for value in current.values() if value is not None), "")
    complete = {name: _with_local(either if value is None else value) for name, value in current.items()}
    return {name: value for name, value in complete.items() if value != current[name]}


def _with_local(value: str) -> str:
    if value.strip() == "*":  # no request uses a proxy
        return value
    entries = [entry for text in value.split(",") if (entry := _accepted(text.strip()))]
    return ",".join([*entries, *(name for name in LOCAL if name not in entries)])


def _accepted(entry: str) -> str:
    if entry.count(":") < 2:
        return entry
    return "" if "/" in entry else entry.partition("]")[0].lstrip("[")


def without_socks(environment: Mapping[str, str]) -> dict[str, str]:
    """Return empty values for the proxies that would crash Prefect's client: kinds that it does not support.

    Prefect's client connects to each proxy that is set, even if all its requests go to this machine.
    """
    supported = ("http", "https", *(("socks5", "socks5h") if find_spec("socksio") else ()))
    proxies = {n: v for n, v in environment.items() if n.lower() in ("http_proxy", "https_proxy", "all_proxy")}
    return {
        name: ""
        for name, value in proxies.items()
        if "://" in value and value.partition("://")[0].lower() not in supported
    }
