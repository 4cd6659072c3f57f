"""``kmpl report``: a finished sweep as one HTML page."""

from pathlib import Path

from kmpl.commands.flags import MLRUNS, Flag, Folder
from kmpl.runtime.output_paths import check_target


def report(name: str, /, *, out: Path, mlruns: Folder = MLRUNS, overwrite: Flag = False) -> None:
    """Write the report of a finished sweep as one page that needs nothing else.

    Args:
        name: The sweep's name.
        out: The page, report.html say.
        mlruns: Folder of the tracked runs.
        overwrite: Replace the page if it exists.
    """
    check_target(out, "--out", overwrite)
    from kmpl import tracking
    from kmpl.reports import sweep_page
    from kmpl.runtime.files import whole_file
    from kmpl.tracking.sweep_runs import find_report

    sweep = find_report(tracking.open_store(mlruns), name)
    with whole_file(out) as draft:
        draft.write_text(sweep_page.html(sweep), encoding="utf-8")
    print(f"{out}: {out.stat().st_size / 1024:.0f} KiB")
