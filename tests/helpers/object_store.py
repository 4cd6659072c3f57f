"""An S3 server on this machine, one for all tests of a process, and a bucket of its own for each test."""

import itertools
import logging
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

_SECRET = "a-secret-that-is-printed-nowhere"
_NUMBER = itertools.count()


@dataclass(frozen=True)
class Bucket:
    """A bucket and the variables that reach it."""

    name: str
    endpoint: str
    secret: str = _SECRET

    @property
    def address(self) -> str:
        """The address of a store in it."""
        return f"s3://{self.name}/kmpl"

    @property
    def environment(self) -> dict[str, str]:
        """What the environment of a process that reaches it needs."""
        keys = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1"}
        return keys | {"AWS_ENDPOINT_URL": self.endpoint}

    def make(self) -> "Bucket":
        """Make the bucket at its server."""
        request = urllib.request.Request(f"{self.endpoint}/{self.name}", method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
        return self


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a real S3 server on loopback."""
    from moto.server import ThreadedMotoServer  # half a second

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of one's own, which this process's environment reaches."""
    made = Bucket(f"bucket-{next(_NUMBER)}", s3_server).make()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made
