"""``kmpl compare``: two runs or sweeps side by side."""

import webbrowser

from kmpl.commands.flags import MLRUNS, Flag, Folder


def compare(first: str, second: str, /, *, mlruns: Folder = MLRUNS, open: Flag = False) -> None:
    """Compare two sweeps, or two runs: the numbers that matter, the settings that differ, and MLflow's own page.

    Args:
        first: Name of a finished sweep, or id of a run.
        second: The same.
        mlruns: Folder of the tracked runs.
        open: Open MLflow's comparison in the browser; `kmpl ui` must be running.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from kmpl.tracking.client import open_existing
    from kmpl.tracking.compare_runs import compare_runs

    comparison = compare_runs(open_existing(mlruns), first, second)
    console = Console()
    has_rows = any(value.row for value in comparison.metrics)
    numbers = Table(*(["row"] if has_rows else []), "number", first, second, box=None, pad_edge=False)
    for value in comparison.metrics:
        numbers.add_row(*([escape(value.row)] if has_rows else []), value.name, value.first or "–", value.second or "–")
    console.print(numbers)
    if comparison.settings:
        settings = Table("setting that differs", first, second, box=None, pad_edge=False)
        for value in comparison.settings:
            settings.add_row(value.name, escape(value.first) or "–", escape(value.second) or "–")
        console.print()
        console.print(settings)
    else:
        console.print("All settings are the same.")
    console.print(f"MLflow, once `kmpl ui` runs: {escape(comparison.url)}", highlight=False, soft_wrap=True)
    if open:
        webbrowser.open(comparison.url)
