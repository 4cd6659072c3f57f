"""A labelled folder as one page to look at: what each class looks like where it is sure, where it is not, its clusters.

N images; the page needs nothing else: no script, no network, small copies of the images inside.
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from kmpl.images.decoding import PictureError, read_picture
from kmpl.labelling.label_table import Labelled
from kmpl.labelling.summary import (
    ClassSummary,
    check_line,
    hidden_line,
    shortened,
    summary,
    summary_line,
    target_name,
    warnings_of,
)

_SIDE = 96  # pixels, of what is shown at most
_SMALL = 64  # up to here pixels are kept as they are
_SHOWN, _CLUSTERS, _MEMBERS = 10, 4, 7
_CLASSES = 60  # more would make a page that no browser likes
_LISTED = 100  # files by name, and hidden labels that were not found again


@dataclass(frozen=True)
class Thumbnail:
    """One image of the page."""

    file: str
    source: str
    """Data URI."""
    small: bool
    """So small that its pixels are shown as squares."""
    note: str
    """What stands below it."""
    given: bool


@dataclass(frozen=True)
class ClusterShown:
    """Those members of a cluster that lie nearest to its centroid."""

    number: int
    size: int
    given: int
    members: list[Thumbnail]


@dataclass(frozen=True)
class ClassShown:
    """One class of the page."""

    about: ClassSummary
    given: list[Thumbnail]
    most: list[Thumbnail]
    least: list[Thumbnail]
    unsure: list[Thumbnail]
    clusters: list[ClusterShown]
    n_clusters: int


def page(done: Labelled, environment: dict[str, str] | None = None) -> str:
    """Return the gallery as HTML.

    Args:
        done: the labelled folder.
        environment: what is said at the foot, by name.
    """
    import jinja2  # only this page needs it

    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("kmpl.labelling", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    lines = summary(done)
    return pages.get_template("gallery.html.j2").render(
        title=f"{target_name(done.found.root)}, labelled",
        done=done,
        said=summary_line(done),
        check=check_line(done),
        hidden=hidden_line(done),
        warnings=warnings_of(done),
        summary=lines,
        classes=[_class(done, number, about) for number, about in enumerate(lines[:_CLASSES])],
        missed=_missed(done),
        n_missed=int((~done.checked).sum()),
        conflicts=[shortened(files, _SHOWN) for files in done.found.conflicts[:_LISTED]],
        n_conflicts=len(done.found.conflicts),
        left_out=list(done.found.left_out.items())[:_LISTED],
        environment=environment or {},
    )


def _class(done: Labelled, number: int, about: ClassSummary) -> ClassShown:
    own, assigned = done.guesses == number, done.assigned
    sure = _by_confidence(done, own & assigned)
    unsure = _by_confidence(done, own & ~assigned & ~done.given)
    least = sure[_SHOWN:][-_SHOWN:][::-1]
    labelled = done.classes == number
    sizes = np.bincount(done.clusters[labelled & (done.clusters >= 0)], minlength=1)
    largest = np.argsort(-sizes, kind="stable")[:_CLUSTERS]
    return ClassShown(
        about=about,
        given=_thumbnails(done, np.flatnonzero(own & done.given)[:_SHOWN]),
        most=_thumbnails(done, sure[:_SHOWN]),
        least=_thumbnails(done, least),
        unsure=_thumbnails(done, unsure[:_SHOWN]),
        clusters=[_cluster(done, int(c), number) for c in largest if sizes[c]],
        n_clusters=int((sizes > 0).sum()),
    )


def _by_confidence(done: Labelled, which: np.ndarray) -> np.ndarray:
    """Return the indices of those images, the most certain first."""
    found = np.flatnonzero(which)
    return found[np.argsort(-done.confidence[found], kind="stable")]


def _cluster(done: Labelled, number: int, own: int) -> ClusterShown:
    """Return a cluster as class ``own`` shows it; below a member that is taken for another class stands its name."""
    members = np.flatnonzero(done.clusters == number)
    nearest = members[np.argsort(done.distances[members], kind="stable")][:_MEMBERS]
    shown = [
        one if done.guesses[i] == own else replace(one, note=f"{one.note} {done.found.classes[done.guesses[i]]}")
        for i, one in zip(nearest, _thumbnails(done, nearest), strict=True)
    ]
    return ClusterShown(number, len(members), int(done.given[members].sum()), shown)


def _missed(done: Labelled) -> list[tuple[Thumbnail, str, str]]:
    """Return the first hidden labels that were not found again, each with what was given and what was thought."""
    names, wrong = done.found.classes, np.flatnonzero(~done.checked)[:_LISTED]
    pairs = zip(done.hidden[wrong], done.hidden_guesses[wrong], strict=True)
    return [(_thumbnail(done, int(i)), names[done.found.labels[i]], names[guess]) for i, guess in pairs]


def _thumbnails(done: Labelled, which: Iterable[Any]) -> list[Thumbnail]:
    return [_thumbnail(done, int(i)) for i in which]


def _thumbnail(done: Labelled, i: int) -> Thumbnail:
    file = done.found.files[i]
    try:
        picture = read_picture(done.found.root / file, ranges=done.found.ranges)
    except PictureError:  # gone since it was read
        picture = done.found.images[i].permute(1, 2, 0).numpy()
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    small = max(image.size) <= _SMALL
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if small else "JPEG", **({"optimize": True} if small else {"quality": 80}))
    source = f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    given = bool(done.given[i])
    note = "given" if given else _percent(float(done.confidence[i])) if done.known else "?"
    return Thumbnail(file, source, small, note, given)


def _percent(share: float) -> str:
    """Return a share in %, rounded down, so that only certainty reads 100.

    >>> _percent(0.99996), _percent(0.5)
    ('99.9', '50')
    """
    tenths = int(1000 * share)
    return f"{tenths / 10:.1f}" if 990 <= tenths < 1000 else str(tenths // 10)
