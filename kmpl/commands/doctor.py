"""``kmpl doctor``: which servers and folders are used, and whether they answer."""

import sys

from rich.console import Console

from kmpl.commands.flags import MLRUNS, Folder
from kmpl.errors import UserError


def doctor(*, mlruns: Folder = MLRUNS, storage: str = "") -> None:
    """Say which servers and folders jobs use, whether each answers, and how its clock goes. No password is shown.

    Args:
        mlruns: Folder of what no server keeps.
        storage: Address of Optuna's storage, as kmpl tune takes it; empty: OPTUNA_STORAGE, or a journal in mlruns.
    """
    from kmpl.jobs.doctor import examine
    from kmpl.jobs.doctor_workers import examine_workers, versions
    from kmpl.jobs.workspace import Workspace
    from kmpl.runtime.addresses import engine_address

    workspace, engine = Workspace(mlruns.resolve(), studies=storage), engine_address()
    found = examine(workspace, engine)
    found += examine_workers(workspace, engine, known=found)
    console = Console(highlight=False, soft_wrap=True)
    for one in found:
        if one.answers:
            console.print(f"{one.what:<8} {one.address}  {one.said}", markup=False)
    console.print(f"{'here':<8} {', '.join(f'{name} {version}' for name, version in versions().items())}", markup=False)
    *most, last = [None, *(one.line() for one in found if not one.answers)]
    for line in most:
        if line:
            print(f"kmpl: {line}", file=sys.stderr)
    if last:
        raise UserError(last)
