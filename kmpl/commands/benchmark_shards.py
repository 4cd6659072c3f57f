"""``kmpl benchmark shards``: K-means over shards, and labelling in shards as the folder grows."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kmpl.benchmarks.options import ShardOptions
from kmpl.benchmarks.writing import RESULTS, check_out_folder, run_environment, write_table
from kmpl.config.backbones import FEATURES, check_backbone, kind_of
from kmpl.errors import UserError

if TYPE_CHECKING:
    from kmpl.benchmarks.speed.shards import PartCost


def shards(
    *,
    out: Path = RESULTS,
    options: Annotated[ShardOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Measure K-means over shards, and time and memory of labelling in shards. Takes a quarter of an hour.

    Args:
        out: Folder that the table (markdown, JSON) is written to.
        options: How much of it.
    """
    options = options or ShardOptions()
    check_out_folder(out)
    check_backbone(options.backbone)
    if kind_of(options.backbone) in (FEATURES, "none", "auto"):
        raise UserError(f"backbone {options.backbone}: it embeds no picture; name a network")
    from kmpl.benchmarks.speed import shards, shards_page

    ways: list[shards.Clustered] = []
    costs: list[shards.PartCost] = []
    pictures: list[shards.PartCost] = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        features, classes = shards.alone(shards.real_features, options.backbone, options.real)
        if options.points:
            written = shards.alone(shards.write_shards, features, classes, options.points, root / "points")
            for way in shards.WAYS:
                ways.append(shards.alone(shards.cluster, written / "features", way))
                print(f"{way}: inertia {ways[-1].inertia:,.1f}, {ways[-1].seconds:,.1f} s", flush=True)
        for n in options.sizes:
            written = shards.alone(shards.write_shards, features, classes, n, root / str(n))
            costs += shards.alone(shards.label, written, f"{FEATURES}:{written / 'features'}")
            print(_line(costs[-1]), flush=True)
        if options.pictures:
            written = shards.alone(shards.write_pictures, options.pictures, root / "pictures")
            pictures += shards.alone(shards.label, written, options.backbone)
            print(_line(pictures[-1]), flush=True)
    environment = run_environment()
    numbers = {"kmeans": [*map(asdict, ways)], "features": [*map(asdict, costs)], "pictures": [*map(asdict, pictures)]}
    page = shards_page.markdown(ways, costs, pictures, environment)
    write_table(out / "shards", page, None, numbers | {"environment": environment})


def _line(cost: "PartCost") -> str:
    return f"{cost.images:,} images: {cost.seconds:,.1f} s, {cost.peak:,.0f} MiB at most, {cost.accuracy:.1%} right"
