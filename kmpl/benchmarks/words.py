"""What all tables say alike."""

from kmpl.comparison import SweepReport
from kmpl.findings import percent, seeds


def spread(mean: float, sd: float | None) -> str:
    """Return mean and standard deviation of fractions in per cent.

    >>> spread(0.0121, 0.0004), spread(0.0121, None)
    ('1.21 ± 0.04', '1.21')
    """
    return percent(mean) if sd is None else f"{percent(mean)} ± {percent(sd)}"


def pool(report: SweepReport) -> str:
    """Return what was trained on, from what was run: a smaller pool must not pass for the whole."""
    first, settings = report.results[0], report.settings.experiment
    size = first["labelled"] + first["unlabelled"]
    return f"Data set {settings.dataset}, network `{settings.network}`, pool of {size:,} training images."


def circumstances(report: SweepReport) -> str:
    """Return how the numbers came about: command, seeds, versions, machine, digest."""
    about = report.environment
    versions = ", ".join(
        f"{name.removeprefix('version.')} {about[name]}" for name in sorted(about) if "version." in name
    )
    lines = {
        "command": f"`{about.get('command', '')}`",
        "seeds": f"{', '.join(map(str, report.settings.seeds))} ({seeds(len(report.settings.seeds))})",
        "date": about.get("date", ""),
        "machine": f"{about.get('machine', '')}, {about.get('cores', '')} cores",
        "versions": versions,
        "digest of the results (SHA-256)": report.digest,
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())
