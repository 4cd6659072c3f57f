"""Worker processes: experiments in processes of their own, which end with the process that started them."""

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


def run_in_processes(run: Callable[[C], R], cells: Sequence[C], jobs: int) -> Iterator[Callable[[], R]]:
    """Yield, for each cell, a function that waits for its result.

    Args:
        run: the work on one cell.
        cells: inputs of the work.
        jobs: number of processes; 1 = this process, and each function does its work when it is called.
    """
    if jobs == 1:
        yield from (partial(run, cell) for cell in cells)
        return
    # Spawned, not forked: a fork of a process that has computed with threads may hang.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), signal.signal, _IGNORED) as pool:
        try:
            yield from [pool.submit(run, cell).result for cell in cells]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_GRACE_SECONDS = 5.0  # from the interrupt to the kill


@contextlib.contextmanager
def children_stopped_on_signal() -> Iterator[None]:
    """Stop the child processes if a signal to this process alone ends the block, as it does for a cancelled flow run.

    Each child gets SIGINT, as the terminal sends it on Ctrl-C, and closes its runs. A child that still runs after
    ``_GRACE_SECONDS`` is killed.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            with contextlib.suppress(ProcessLookupError, TypeError):  # it has ended, or has not started
                os.kill(child.pid, signal.SIGINT)  # type: ignore[arg-type]
        end = time.monotonic() + _GRACE_SECONDS
        while any(child.is_alive() for child in children) and time.monotonic() < end:
            time.sleep(0.1)
        for child in children:
            child.kill()
        raise


_IGNORED = (signal.SIGINT, signal.SIG_IGN)  # an idle process has nothing to interrupt


@cache
def exit_with_parent() -> None:
    """In a worker process: end when the parent is killed, and let Ctrl-C interrupt. In any other process: nothing."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
