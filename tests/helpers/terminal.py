"""Commands as a person meets them: what they say, and the environment they are started in."""

import os


def one_line(errors: str) -> str:
    """Return what a command wrote to the terminal's errors, which must be kmpl's one line and nothing else."""
    assert errors.startswith("kmpl: "), errors
    assert errors.count("\n") == 1, errors
    return errors


def without_prefect() -> dict[str, str]:
    """Return an environment in which nothing names a server of Prefect's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def behind_a_dead_proxy() -> dict[str, str]:
    """Return an environment without a word of Prefect, in which nothing is reached through the proxies that it names:
    a local server is reached by who knows that it needs none."""
    kept = {name: value for name, value in without_prefect().items() if not name.lower().endswith("_proxy")}
    dead = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    return kept | dead | {"ALL_PROXY": "socks5://127.0.0.1:9"}
