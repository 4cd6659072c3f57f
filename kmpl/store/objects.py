"""An object store (S3, Google's, Azure's) by its address: read, put if absent, list, remove; a failure is one line."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kmpl.errors import SettingError, StoreError
from kmpl.runtime.addresses import STORE
from kmpl.runtime.servers import masked

if TYPE_CHECKING:
    import obstore.store

SCHEMES = ("s3", "gs", "az")
_ALLOWED = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER"
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0
"""Time within which a store must send something; how long a whole object takes is up to the line."""
RETRY_SECONDS = 60.0
"""Time within which a request is tried again, with exponential back-off."""
RETRIES = 8
_NO_BUCKET = re.compile("NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)  # S3, Azure, Google


def check_address(address: str) -> None:
    """Refuse an address that names no store, or holds what must not be written into one.

    Raises:
        SettingError: it does.
    """
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.path not in ("", "/") and not parts.netloc:
        return
    if "@" in parts.netloc or parts.query:
        reason = "credentials do not belong into an address; give them by the variables of the store's own tools"
        raise SettingError(STORE, masked(address).partition("?")[0], reason, _ALLOWED)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise SettingError(STORE, address, "that is no address of a store", _ALLOWED)


class MissingBucketError(StoreError):
    """The server of an object store answers, and has no such bucket."""


class Objects:
    """The objects below one address. Credentials are those that the store's own tools find; they are never shown.

    An object is there whole or not at all, and is never overwritten. Requests that fail are tried again.
    """

    def __init__(self, address: str, *, retries: int | None = None) -> None:
        """Prepare access; nothing is sent yet.

        Args:
            address: ``s3://…``, ``gs://…`` or ``az://…``.
            retries: how often a request that failed is tried again; None: as long as may help a job.

        Raises:
            UserError: no address of a store, or the library for it is not installed.
        """
        check_address(address)
        self.address = address.rstrip("/")
        try:
            import obstore
        except ImportError as error:
            raise StoreError(
                f"{STORE} {address}: its library is not installed; install kmpl[cluster], or unset {STORE}", address
            ) from error
        self._library = obstore
        with self._one_line("cannot be opened"):
            self._objects = _opened(self.address, RETRIES if retries is None else retries)

    def read(self, name: str) -> bytes | None:
        """Return an object's content; None where there is none.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._one_line("cannot be read"):
            try:
                return bytes(self._library.get(self._objects, name).bytes())
            except FileNotFoundError:
                return None

    def put(self, name: str, content: bytes) -> bool:
        """Keep an object, unless there is one of that name; return whether it is new.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._one_line("cannot be written"):
            try:
                self._library.put(self._objects, name, content, mode="create")
            except self._library.exceptions.AlreadyExistsError:
                return False
            except NotImplementedError:  # AWS_CONDITIONAL_PUT=disabled; names are digests, so the content is the same
                self._library.put(self._objects, name, content, use_multipart=False)
        return True

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return names and bytes of all objects whose name begins with the folder ``prefix``, sorted by name.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._one_line("cannot be listed"):
            pages = self._library.list(self._objects, prefix or None)
            return dict(sorted((str(one["path"]), int(one["size"])) for page in pages for one in page))

    def remove(self, *names: str) -> None:
        """Remove objects; one that is not there is no error.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._one_line("cannot be cleared"):
            if names:
                self._library.delete(self._objects, [*names])

    def clock_ahead(self, name: str, now: float) -> float | None:
        """Return the seconds that the store's clock was ahead of ``now`` when it took an object; None: there is none.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._one_line("cannot be read"):
            try:
                return float(self._library.head(self._objects, name)["last_modified"].timestamp() - now)
            except FileNotFoundError:
                return None

    @contextmanager
    def _one_line(self, what: str) -> Iterator[None]:
        try:
            yield
        except (self._library.exceptions.BaseError, OSError, ValueError) as error:
            if _NO_BUCKET.search(str(error)):
                raise MissingBucketError(
                    f"the store {self.address} {what}: there is no bucket {urlsplit(self.address).netloc} at its "
                    f"server; make it, or name another by {STORE}",
                    self.address,
                ) from error
            raise StoreError(
                f"the store {self.address} {what}: {reason(error)}; all finished steps are kept: run the same command "
                "again when it answers",
                self.address,
            ) from error


def reason(error: BaseException | None) -> str:
    """Return what a failed request says in one line, without what may be a signature or a password.

    >>> reason(ValueError("GET https://a.example/x?sig=abc failed\\n\\nDebug source: …"))
    'GET https://a.example/x failed'
    """
    text = str(error).strip().partition("Debug source")[0]
    code = re.search(r"<Code>(\w+)</Code>", text)
    line = masked(text.splitlines()[0] if text else type(error).__name__)
    line = re.sub(r":\s*<\?xml.*|^Generic \w+ error: |, max_retries: .*?s(?=  - )", "", line)
    line = re.sub(r"\?[^\s:]*", "", line)  # what is behind it may be a signature
    return f"{line.strip()} ({code[1]})" if code else line.strip()


def _opened(address: str, n_retries: int) -> "obstore.store.ObjectStore":
    from obstore.store import from_url

    client: Any = {"connect_timeout": timedelta(seconds=CONNECT_SECONDS), "timeout": timedelta(hours=1)}
    client |= {"read_timeout": timedelta(seconds=SILENCE_SECONDS)}
    if any(os.environ.get(name, "").startswith("http://") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")):
        client["allow_http"] = True  # whoever names such an endpoint means it
    retries: Any = {"max_retries": n_retries, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    more = {"credential_provider": _aws_files()} if address.startswith("s3:") and _by_aws_files() else {}
    return from_url(address, client_options=client, retry_config=retries, **more)


def _by_aws_files() -> bool:
    """Say whether credentials are in the files of AWS's tools, which the library itself does not read."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return False
    files = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials"
    return bool(os.environ.get("AWS_PROFILE")) or Path(files).is_file()


def _aws_files() -> Any:
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise ValueError(
            "its credentials are in a file of AWS's tools, and boto3, which reads it, is not installed; install it, or "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    return Boto3CredentialProvider()
