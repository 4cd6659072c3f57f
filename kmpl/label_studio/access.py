"""How a Label Studio server is reached: the address that is given, and the token of the environment."""

import os
from urllib.parse import urlsplit

from kmpl.errors import UserError

TOKEN = "LABEL_STUDIO_API_KEY"
"""Variable of the environment that holds the token. It is never a flag: flags are kept with what a command makes."""


def token() -> str:
    """Return the token of the environment.

    Raises:
        UserError: there is none.
    """
    found = os.environ.get(TOKEN, "").strip()
    if not found:
        raise UserError(f"{TOKEN} is not set; set it to the token in Label Studio's Account & Settings")
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise UserError(f"{TOKEN} is no token: it has blanks or other characters; copy it again")
    return found


def check_url(url: str) -> None:
    """Refuse what is no address of a server.

    Raises:
        UserError: in one line; a password in the address is not repeated.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname is not None and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole:
        raise UserError(f"--url {url.rpartition('@')[2]}: is no address of a server; give one as http://localhost:8080")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError(f"--url: give the address alone, and the token in {TOKEN}")
