"""What docs/reference/tracking.md says of the names in MLflow, held against real runs."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlflow.entities import Run

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tracking.md"
KINDS = {"sweep", "experiment", "arm", "summary", "study", "trial", "labelling", "new-files"}


def _documented(section: str) -> list[tuple[str, set[str]]]:
    """Return the names in a section's table, as patterns, each with the kinds of runs that have it."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = []
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", text, re.MULTILINE):
        kinds = {kind for kind in KINDS if re.search(rf"\b{kind}\b", row[1])}
        kinds = KINDS - kinds if row[1].startswith("all") else kinds
        found += [(re.sub(r"[A-Z]{3,}", ".+", re.escape(name)), kinds) for name in re.findall(r"`(.*?)`", row[0])]
    return found


def undocumented(runs: Sequence[Run]) -> set[tuple[str, str]]:
    """Return kind and name of each metric and tag of these runs that the page does not have; MLflow's own aside."""
    names = {"Metrics": lambda run: run.data.metrics, "Tags": lambda run: run.data.tags}
    missing = set()
    for section, of in names.items():
        known = _documented(section)
        for run in runs:
            kind = run.data.tags["kind"]
            fitting = [pattern for pattern, kinds in known if kind in kinds]
            own = (name for name in of(run) if not name.startswith("mlflow."))
            missing |= {(kind, name) for name in own if not any(re.fullmatch(p, name) for p in fitting)}
    return missing


def unseen(runs: Sequence[Run], kind: str) -> list[str]:
    """Return the metrics that the page says of a kind of run, and that no such run has."""
    names = {name for run in runs if run.data.tags["kind"] == kind for name in run.data.metrics}
    said = [pattern for pattern, kinds in _documented("Metrics") if kind in kinds]
    return [pattern for pattern in said if not any(re.fullmatch(pattern, name) for name in names)]
