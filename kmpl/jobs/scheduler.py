"""A look whether a Dask scheduler answers, before anything waits for it."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from kmpl.errors import UserError
from kmpl.runtime.addresses import SCHEDULER, shown

PATIENCE_SECONDS = 5.0
"""How long a scheduler may take to answer."""


def check_scheduler(address: str) -> None:
    """Refuse an address at which no scheduler of Dask's answers; without an address there is nothing to refuse.

    Raises:
        UserError: nobody answers, another server does, or Dask is not installed.
    """
    if not address:
        return
    if find_spec("prefect_dask") is None:  # looked for, not imported: Prefect reads the environment when it is
        raise UserError(
            f"{SCHEDULER} {shown(address)}: its library is not installed; install kmpl[cluster], or unset {SCHEDULER}"
        )
    try:
        knock(address)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{SCHEDULER} {shown(address)}: no scheduler of Dask's answers ({reason}); start it (dask scheduler), name "
            f"another, or unset {SCHEDULER}"
        ) from error


def knock(address: str) -> None:
    """Connect to a scheduler. A client of Dask's (2026.8) waits for ever where another server listens.

    Raises:
        OSError: nobody answers.
        ValueError: that is no address.
        TimeoutError: another server answers.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # one line is enough
    with ThreadPoolExecutor(1) as thread:  # this one may run a loop of events already
        thread.submit(asyncio.run, _connect(address)).result()


async def _connect(address: str) -> None:
    from distributed import Security
    from distributed.comm import connect

    keys = Security().get_connection_args("client")  # for tls://, from Dask's own settings
    try:
        comm = await asyncio.wait_for(connect(address, timeout=PATIENCE_SECONDS, **keys), 2 * PATIENCE_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(str(error) or "another server listens there") from error
    comm.abort()
