"""Says that a page answers as soon as it does, for a process that has become the server and cannot say so itself."""

import os
import sys
import time

from kmpl.runtime.servers import answers


def announce(url: str, line: str, parent: int) -> bool:
    """Wait until ``url`` answers and print the line; return False if the parent process ended before that."""
    while os.getppid() == parent:
        if answers(url):
            print(line, flush=True)
            return True
        time.sleep(0.1)
    return False


if __name__ == "__main__":
    announce(sys.argv[1], sys.argv[2], int(sys.argv[3]))
