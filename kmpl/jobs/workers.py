"""Experiments in processes of their own, which end with the one that started them."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import TypeVar

C = TypeVar("C")
R = TypeVar("R")


def in_processes(run: Callable[[C], R], jobs: Sequence[C], n_processes: int) -> Iterator[Callable[[], R]]:
    """Yield what waits for each piece of work: done here one by one, or in processes of its own."""
    if n_processes == 1:
        yield from (partial(run, job) for job in jobs)
        return
    # Not forked: a fork of a process that has computed with threads may hang.
    with ProcessPoolExecutor(n_processes, multiprocessing.get_context("spawn"), signal.signal, _IGNORED) as pool:
        try:
            yield from [pool.submit(run, job).result for job in jobs]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_GRACE = 5.0  # seconds


@contextlib.contextmanager
def stopping_all() -> Iterator[None]:
    """Stop this one's processes too when it is stopped by a signal to it alone, as a cancelled flow run is.

    They close their runs as on Ctrl-C, which the terminal sends to all of them; who does not within seconds is killed.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            with contextlib.suppress(ProcessLookupError, TypeError):  # it has ended, or not begun
                os.kill(child.pid, signal.SIGINT)  # type: ignore[arg-type]
        end = time.monotonic() + _GRACE
        while any(child.is_alive() for child in children) and time.monotonic() < end:
            time.sleep(0.1)
        for child in children:
            child.kill()
        raise


_IGNORED = (signal.SIGINT, signal.SIG_IGN)  # an idle process has nothing to interrupt


@cache
def exit_with_parent() -> None:
    """In a process of its own: let Ctrl-C interrupt, and end when the parent is killed, so that nobody works unseen."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
