"""The gallery: one HTML page of a labelled folder, with images of each class by confidence, and its clusters.

N images; the page needs no script and no network, and holds small copies of the images.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kmpl.images.decoding import PictureError, read_picture
from kmpl.images.thumbnail import encode, is_pixelated
from kmpl.labelling.label_table import LabelTable
from kmpl.labelling.summary import (
    ClassSummary,
    check_line,
    class_summaries,
    remark_lines,
    summary_line,
    validation_line,
    warning_lines,
)
from kmpl.labelling.words import abbreviate, folder_name

_THUMBNAIL_PIXELS = 96  # side, at most
_IMAGES_PER_STRIP = 10
_CLUSTERS_PER_CLASS = 4
_IMAGES_PER_CLUSTER = 7
_MAX_CLASSES = 60  # browsers are slow with larger pages
_MAX_FILES_LISTED = 100  # also the number of validation labels shown that were not found again


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnail:
    """One image of the page."""

    file: str
    source: str
    """Data URI."""
    small: bool
    """The image is so small that the page shows its pixels as squares."""
    note: str
    """Text below the image: ``given``, or the confidence in %."""
    given: bool
    """The image has a given label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterStrip:
    """A cluster: the members nearest to its centroid."""

    number: int
    size: int
    """Members in all."""
    given: int
    """Members with a given label."""
    members: list[Thumbnail]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSection:
    """One class of the page."""

    about: ClassSummary
    given: list[Thumbnail]
    """Images with a given label."""
    most: list[Thumbnail]
    """Assigned labels of the highest confidence."""
    least: list[Thumbnail]
    """Assigned labels of the lowest confidence."""
    unsure: list[Thumbnail]
    """Images below the threshold."""
    clusters: list[ClusterStrip]
    """The clusters with most labels of this class."""
    n_clusters: int
    """Clusters with any label of this class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissedLabel:
    """A held-out validation label that the last network did not find again."""

    image: Thumbnail
    given: str
    guess: str


def html(table: LabelTable, environment: dict[str, str] | None = None) -> str:
    """Return the gallery as HTML.

    Args:
        table: the labels of the folder.
        environment: names and values for the foot of the page.
    """
    import jinja2  # only this page needs it

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("kmpl.labelling", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summaries = class_summaries(table)
    conflicts = table.folder.conflicts
    left_out = table.folder.left_out
    return templates.get_template("gallery.html.j2").render(
        title=f"{folder_name(table.folder.root)}, labelled",
        check=check_line(table),
        way=table.way,
        warnings=warning_lines(table),
        counts=summary_line(table),
        validation=validation_line(table),
        summary=summaries,
        classes=[_section(table, number, about) for number, about in enumerate(summaries[:_MAX_CLASSES])],
        missed=_missed(table),
        suspects=_suspects(table),
        n_suspects=len(table.suspects),
        remarks=remark_lines(table),
        n_missed=int((~table.validation_right).sum()),
        conflicts=[abbreviate(files, _IMAGES_PER_STRIP) for files in conflicts[:_MAX_FILES_LISTED]],
        n_conflicts=len(conflicts),
        left_out=list(left_out.items())[:_MAX_FILES_LISTED],
        n_left_out=len(left_out),
        environment=environment or {},
    )


def _section(table: LabelTable, number: int, about: ClassSummary) -> ClassSection:
    members = table.guesses == number
    assigned = _by_confidence(table, members & table.assigned)
    unsure = _by_confidence(table, members & ~table.assigned & ~table.given)
    least = assigned[_IMAGES_PER_STRIP:][-_IMAGES_PER_STRIP:][::-1]
    labelled = table.classes == number
    sizes = np.bincount(table.clusters[labelled & (table.clusters >= 0)], minlength=1)
    largest = np.argsort(-sizes, kind="stable")[:_CLUSTERS_PER_CLASS]
    return ClassSection(
        about=about,
        given=_thumbnails(table, np.flatnonzero(members & table.given)[:_IMAGES_PER_STRIP]),
        most=_thumbnails(table, assigned[:_IMAGES_PER_STRIP]),
        least=_thumbnails(table, least),
        unsure=_thumbnails(table, unsure[:_IMAGES_PER_STRIP]),
        clusters=[_cluster(table, int(k), number) for k in largest if sizes[k]],
        n_clusters=int((sizes > 0).sum()),
    )


def _by_confidence(table: LabelTable, mask: np.ndarray) -> np.ndarray:
    """Return the indices of the images in ``mask`` (N,), the highest confidence first."""
    images = np.flatnonzero(mask)
    return images[np.argsort(-table.confidence[images], kind="stable")]


def _cluster(table: LabelTable, number: int, class_number: int) -> ClusterStrip:
    """Return a cluster in the section of a class; members of another class have that class's name below them."""
    members = np.flatnonzero(table.clusters == number)
    nearest = members[np.argsort(table.distances[members], kind="stable")][:_IMAGES_PER_CLUSTER]
    thumbnails = _thumbnails(table, nearest)
    for place, i in enumerate(nearest):
        if table.guesses[i] != class_number:
            note = f"{thumbnails[place].note} {table.folder.classes[table.guesses[i]]}"
            thumbnails[place] = replace(thumbnails[place], note=note)
    return ClusterStrip(number=number, size=len(members), given=int(table.given[members].sum()), members=thumbnails)


def _missed(table: LabelTable) -> list[MissedLabel]:
    """Return the first validation labels that the last network did not find again."""
    names = table.folder.classes
    wrong = np.flatnonzero(~table.validation_right)[:_MAX_FILES_LISTED]
    return [
        MissedLabel(image=_thumbnail(table, int(i)), given=names[table.folder.labels[i]], guess=names[guess])
        for i, guess in zip(table.validation[wrong], table.validation_guesses[wrong], strict=True)
    ]


def _suspects(table: LabelTable) -> list[MissedLabel]:
    """Return the first given labels that look like another class."""
    names = table.folder.classes
    first = sorted(table.suspects.items())[:_MAX_FILES_LISTED]
    return [
        MissedLabel(image=_thumbnail(table, i), given=names[table.folder.labels[i]], guess=names[c]) for i, c in first
    ]


def _thumbnails(table: LabelTable, images: Iterable[Any]) -> list[Thumbnail]:
    return [_thumbnail(table, int(i)) for i in images]


def _thumbnail(table: LabelTable, i: int) -> Thumbnail:
    file = table.folder.files[i]
    try:
        pixels = read_picture(table.folder.root / file, conversion=table.folder.conversion)
    except PictureError:  # the file was removed after it was read
        pixels = table.folder.images[i].permute(1, 2, 0).numpy()
    copy, media_type = encode(pixels, _THUMBNAIL_PIXELS)
    source = f"data:{media_type};base64,{base64.b64encode(copy).decode()}"
    small = is_pixelated(pixels)
    given = bool(table.given[i])
    confidence = _percent(float(table.confidence[i])) if table.has_confidence else "?"
    return Thumbnail(file=file, source=source, small=small, note="given" if given else confidence, given=given)


def _percent(share: float) -> str:
    """Return a share in %, rounded down, so that only certainty is shown as 100.

    >>> _percent(0.99996), _percent(0.5)
    ('99.9', '50')
    """
    tenths = int(1000 * share)
    return f"{tenths / 10:.1f}" if 990 <= tenths < 1000 else str(tenths // 10)
