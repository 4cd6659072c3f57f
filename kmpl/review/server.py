"""Serves the page to this machine until a signal ends it."""

import secrets
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn

from kmpl.errors import UserError
from kmpl.review.app import create_app
from kmpl.review.session import Review
from kmpl.review.thumbnails import Thumbnails
from kmpl.runtime.servers import HOST

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
_GRACE_SECONDS = 3


class _Server(uvicorn.Server):
    """A server that says when it answers, and that returns on a signal: what follows it is still to be done."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        previous = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def serve(review: Review, thumbnails: Thumbnails, *, port: int, on_start: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or another signal to end.

    Args:
        review: what the page shows and changes.
        thumbnails: its pictures.
        port: of this machine; 0 = a free one.
        on_start: is called with the address when the page answers.

    Raises:
        UserError: the port cannot be used.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise UserError(f"port {port} on {HOST} cannot be used ({error}); choose another with --port") from error
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(16)
        config = uvicorn.Config(
            create_app(review, thumbnails, token=token, port=port),
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            lifespan="off",
        )
        _Server(config, lambda: on_start(f"http://{HOST}:{port}/{token}/")).run(sockets=[listener])
