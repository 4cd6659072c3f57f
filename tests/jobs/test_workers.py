"""Processes that work for another: they give what it would have got, and end with it, however it ends."""

import os
import subprocess
import sys

from processes import alive, wait_until

from kmpl.jobs.workers import run_in_processes

AT_WORK = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from kmpl.jobs.workers import exit_with_parent
if __name__ == "__main__":
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawned, exit_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600).result()
"""


def test_a_process_whose_parent_is_killed_does_not_work_on_unseen() -> None:
    with subprocess.Popen([sys.executable, "-c", AT_WORK], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.kill()
    assert wait_until(lambda: not alive(worker))


def test_work_is_waited_for_in_its_order_here_and_in_processes() -> None:
    for jobs in (1, 2):
        assert [wait() for wait in run_in_processes(os.fspath, ["a", "b", "c"], jobs)] == ["a", "b", "c"]
