"""The benchmark of shards as markdown."""

from collections.abc import Mapping, Sequence

import numpy as np

from kmpl.benchmarks.provenance import run_provenance
from kmpl.benchmarks.speed.shards import CLUSTERS, PARTS, PER_CLASS, WAYS, Clustered, PartCost
from kmpl.reports.sweep_page import grid

_INTRODUCTION = f"""\
K-means with {CLUSTERS} clusters, and `kmpl label` in shards of 4,096 images, {PER_CLASS} labels a class, with its
check. Features are those that a network has of digits; most are drawn between two of them, so that only their number is
large. Seconds are the processor's. Memory is the largest of the process, with some 500 MiB of libraries."""


def markdown(
    ways: Sequence[Clustered], costs: Sequence[PartCost], pictures: Sequence[PartCost], environment: Mapping[str, str]
) -> str:
    """Return the tables as markdown."""
    parts = ["# Shards", _INTRODUCTION, *_kmeans(ways)]
    for title, rows in (("Features in shards", costs), ("Pictures, embedded", pictures)):
        if rows:
            parts += [f"## {title}", _labelling(rows)]
    return "\n\n".join([*parts, run_provenance(environment)]) + "\n"


def _kmeans(ways: Sequence[Clustered]) -> list[str]:
    if not ways:
        return []
    best = {one.way: one for one in ways}
    base = best[WAYS[2]]
    rows = [
        [w, f"{best[w].inertia / base.inertia:.4f}", f"{best[w].seconds:.1f}", f"{best[w].seconds / base.seconds:.2f}"]
        for w in WAYS
    ]
    return ["## K-means", grid(["K-means", "inertia, ×", "seconds", "×"], rows, left=("K-means",))]


def _labelling(costs: Sequence[PartCost]) -> str:
    sizes = sorted({cost.images for cost in costs})
    at = {(cost.images, cost.part): cost for cost in costs}
    rows = [[f"{part}, s", *(f"{at[n, part].seconds:,.1f}" for n in sizes), _power(costs, part)] for part in PARTS]
    rows.append(["memory, MiB", *(f"{at[n, 'all'].peak:,.0f}" for n in sizes), ""])
    rows.append(["right, %", *(f"{100 * at[n, 'all'].accuracy:.1f}" for n in sizes), ""])
    return grid(["images", *(f"{n:,}" for n in sizes), "grows by"], rows, left=("images",))


def _power(costs: Sequence[PartCost], part: str) -> str:
    """Return the power of the number of images by which seconds grow; 1 is linear."""
    of_part = sorted((cost.images, cost.seconds) for cost in costs if cost.part == part)
    if len(of_part) < 2 or any(seconds <= 0 for _, seconds in of_part):
        return "–"
    x, y = np.log(np.array(of_part, dtype=float)).T
    return f"{np.polyfit(x, y, 1)[0]:.2f}"
