"""A company's proxy is for what is outside: it knows nothing of the servers on this machine."""

import os
from collections.abc import Mapping
from importlib.util import find_spec

LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
"""This machine, by the names that its servers are called by."""
added: dict[str, str] = {}
"""What ``pass_by`` has changed in the environment of this process."""


def pass_by() -> None:
    """Let this process, and all that it starts, reach this machine's own servers without a proxy.

    HTTP clients read the environment each time, so that it is right for all of them, whoever made them. Both spellings
    are set, because most prefer the lower one and some read only one.
    """
    added.update(exceptions(os.environ))
    os.environ.update(added)


def exceptions(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``no_proxy`` and ``NO_PROXY`` with this machine in them; nothing where no proxy is set, or all is well.

    What the user has there stays, but in a form that httpx survives: of ``[::1]`` it takes the brackets for a port, and
    of a network like ``fd00::/8``, which no client in Python knows, it dies.

    >>> exceptions({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": ".corp,127.0.0.1"})["NO_PROXY"]
    '.corp,127.0.0.1,localhost,::1,0.0.0.0'
    """
    names = ("no_proxy", "NO_PROXY")
    if not any(name.lower().endswith("_proxy") and value for name, value in environment.items() if name not in names):
        return {}
    told = {name: environment.get(name) for name in names}
    either = next((value for value in told.values() if value is not None), "")
    wanted = {name: _with_local(either if value is None else value) for name, value in told.items()}
    return {name: value for name, value in wanted.items() if value != told[name]}


def _with_local(value: str) -> str:
    if value.strip() == "*":  # nothing goes through a proxy
        return value
    entries = [entry for text in value.split(",") if (entry := _readable(text.strip()))]
    return ",".join([*entries, *(name for name in LOCAL if name not in entries)])


def _readable(entry: str) -> str:
    if entry.count(":") < 2:
        return entry
    return "" if "/" in entry else entry.partition("]")[0].lstrip("[")


def without_socks(environment: Mapping[str, str]) -> dict[str, str]:
    """Return proxies that Prefect's client would die of, emptied: kinds for which it lacks a package or the words.

    It opens a way through each proxy that is set, even where all that it asks for is on this machine.
    """
    known = ("http", "https", *(("socks5", "socks5h") if find_spec("socksio") else ()))
    proxies = {n: v for n, v in environment.items() if n.lower() in ("http_proxy", "https_proxy", "all_proxy")}
    return {
        name: "" for name, value in proxies.items() if "://" in value and value.partition("://")[0].lower() not in known
    }
