"""A connection to a Label Studio server: both kinds of its tokens, and every failure in one line.

The SDK of Label Studio is not used: docs/log/decisions-files.md says why (D157).
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from kmpl.errors import StoreError
from kmpl.label_studio.access import TOKEN, check_url, token

_TIMEOUT = httpx.Timeout(10, read=600, write=600)  # an export of many annotations is made before its first byte
_AWAY = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
_MAX_REASON_LENGTH = 300


class UnreachableError(StoreError):
    """The server does not answer now; later it may."""


class RefusedError(StoreError):
    """The server answers, and refuses what it was asked for."""

    def __init__(self, message: str, uri: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message, uri)
        self.args = (message, uri, status, reason)
        self.status = status
        """HTTP status."""
        self.reason = reason
        """What the server says."""


class Connection:
    """Sends requests to one server.

    Args:
        url: address of the server.
        secret: the token; one with two dots is a personal access token, which is exchanged for short-lived ones.
    """

    def __init__(self, url: str, secret: str) -> None:
        self.url = url.rstrip("/")
        self._secret = secret
        self._is_personal = secret.count(".") == 2
        self._access = ""
        self._http = httpx.Client(timeout=_TIMEOUT, follow_redirects=False)

    def close(self) -> None:
        """Close its sockets."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """Return what the server answers to a GET."""
        return self.send("GET", path, params=parameters)

    def send(self, method: str, path: str, **more: Any) -> Any:
        """Return the JSON that the server answers; None if it answers nothing.

        Args:
            method: of HTTP.
            path: below the server's address.
            more: arguments of httpx.

        Raises:
            UnreachableError: no answer.
            RefusedError: it refuses, or is no Label Studio.
        """
        with self._answer(method, path, **more) as answer:
            self._read(answer)
            self._check(answer, path)
            return self._json(answer) if answer.content else None

    def shows(self, path: str, **parameters: Any) -> bool:
        """Say whether a GET succeeds; nothing is read of what it would answer."""
        with self._answer("GET", path, params=parameters) as answer:
            return bool(answer.status_code == httpx.codes.OK)

    def download(self, path: str, target: Path, **parameters: Any) -> None:
        """Write what the server answers to a file, piece by piece.

        Raises:
            UnreachableError: no answer, or it breaks off.
            RefusedError: it refuses.
        """
        with self._answer("GET", path, params=parameters) as answer:
            if answer.status_code != httpx.codes.OK:
                self._read(answer)
                self._check(answer, path)
            with target.open("wb") as file, self._away():
                for piece in answer.iter_bytes():
                    file.write(piece)

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, **more: Any) -> Iterator[httpx.Response]:
        """Yield an answer; a short-lived token that has run out is renewed once."""
        answer = self._sent(method, path, **more)
        try:
            if answer.status_code == httpx.codes.UNAUTHORIZED and self._access:
                answer.close()
                self._access = ""
                answer = self._sent(method, path, **more)
            yield answer
        finally:
            answer.close()

    def _sent(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": self._authorization()}
        with self._away():
            return self._http.send(
                self._http.build_request(method, self.url + path, headers=headers, **more), stream=True
            )

    def _authorization(self) -> str:
        if not self._is_personal:
            return f"Token {self._secret}"
        if not self._access:
            with self._away():
                answer = self._http.post(f"{self.url}/api/token/refresh", json={"refresh": self._secret})
            self._check(answer, "/api/token/refresh")
            self._access = str(self._json(answer).get("access", ""))
        return f"Bearer {self._access}"

    def _read(self, answer: httpx.Response) -> None:
        with self._away():
            answer.read()

    @contextlib.contextmanager
    def _away(self) -> Iterator[None]:
        """Turn what a network does into one line."""
        try:
            yield
        except httpx.HTTPError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            line = f"{self.url}: Label Studio does not answer ({reason}); start it, or correct --url"
            raise UnreachableError(line, self.url) from error

    def _check(self, answer: httpx.Response, path: str) -> None:
        """Refuse an answer that is not what was asked for.

        Raises:
            UnreachableError: a proxy says that the server is away.
            RefusedError: the server refuses.
        """
        status = answer.status_code
        if answer.is_success:
            return
        if status in _AWAY:
            line = f"{self.url}: Label Studio is away (a proxy answers {status}); start it, or correct --url"
            raise UnreachableError(line, self.url)
        if answer.is_redirect:
            where = answer.headers.get("location", "another address").partition("?")[0]
            raise RefusedError(f"{self.url}: sends on to {where}; give that server as --url", self.url, status)
        reason = _reason(answer)
        if status == httpx.codes.UNAUTHORIZED:
            line = f"{self.url}: refuses the token in {TOKEN} ({reason}); copy it from its Account & Settings"
        elif status == httpx.codes.FORBIDDEN:
            line = f"{self.url}: the user of the token may not do this ({reason}); take another user's token"
        else:
            line = f"{self.url}{path}: Label Studio refuses ({status}, {reason})"
        raise RefusedError(line, self.url, status, reason)

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise RefusedError(f"{self.url}: answers, but is no Label Studio; correct --url", self.url) from error


def connect(url: str) -> Connection:
    """Return a connection that a Label Studio has answered on, and whose token it takes.

    Args:
        url: address of the server.

    Raises:
        UserError: no token, no address, no answer, no Label Studio, or it refuses the token.
    """
    check_url(url)
    connection = Connection(url, token())
    try:
        about = _version(connection)
        if not (isinstance(about, dict) and "release" in about):
            raise RefusedError(f"{connection.url}: answers, but is no Label Studio; correct --url", connection.url)
        connection.get("/api/current-user/whoami")
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: Connection) -> Any:
    try:
        return connection.get("/api/version")
    except RefusedError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        return None


def _reason(answer: httpx.Response) -> str:
    """Return what an answer says of a failure, in one line."""
    try:
        said = answer.json()
    except ValueError:
        return answer.reason_phrase
    said = said.get("validation_errors") or said.get("detail") or said if isinstance(said, dict) else said
    return "; ".join(_texts(said))[:_MAX_REASON_LENGTH] or answer.reason_phrase


def _texts(said: Any) -> Iterator[str]:
    """Yield the sentences in an answer of any shape."""
    if isinstance(said, Mapping):
        for name, value in said.items():
            yield from (text if name == "non_field_errors" else f"{name}: {text}" for text in _texts(value))
    elif isinstance(said, list):
        for value in said:
            yield from _texts(value)
    else:
        yield " ".join(str(said).split())
