"""``kmpl cache``: show or clear the store of finished steps."""

from rich.console import Console
from rich.table import Table

from kmpl.commands.flags import MLRUNS, Flag, Folder


def cache(*, clear: Flag = False, mlruns: Folder = MLRUNS) -> None:
    """Show what the store of finished steps holds; it can be cleared at any time and costs only time.

    Args:
        clear: Remove all of it.
        mlruns: Folder of the store.
    """
    from kmpl.jobs.workspace import Workspace

    store = Workspace(mlruns).store
    sizes = store.sizes()
    grid = Table("kind", box=None, pad_edge=False)
    for name in ("entries", "MB"):
        grid.add_column(name, justify="right")
    for kind, (count, size) in sizes.items():
        grid.add_row(kind, f"{count:,}", f"{size / 1e6:,.1f}")
    grid.add_row("all", f"{sum(c for c, _ in sizes.values()):,}", f"{sum(s for _, s in sizes.values()) / 1e6:,.1f}")
    Console().print(grid)
    if clear:
        store.clear()
    print(f"{'cleared' if clear else 'in'} {store.place}")
