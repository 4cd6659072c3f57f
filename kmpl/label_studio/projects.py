"""The project of a folder: found by its title or number, or made; its interface has the classes that are needed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kmpl.errors import UserError
from kmpl.label_studio.client import Connection, RefusedError
from kmpl.label_studio.interface import Interface, interface_for, is_empty, read_interface, with_classes

_MIN_TITLE_LENGTH = 3
_MAX_TITLE_LENGTH = 50
_MAX_PROJECTS_AT_ONCE = 100
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project of a Label Studio server."""

    server: Connection
    id: int
    title: str
    interface: Interface
    is_new: bool = False
    """It was made just now."""

    @property
    def path(self) -> str:
        """Path of its requests."""
        return f"/api/projects/{self.id}"

    @property
    def page(self) -> str:
        """Address of its page, for a person."""
        return f"{self.server.url}/projects/{self.id}"

    def n_annotations(self) -> int:
        """Return how many annotations people have made."""
        return int(self.server.get(self.path)["total_annotations_number"])

    def n_tasks(self) -> int:
        """Return how many tasks it has."""
        return int(self.server.get(self.path)["task_number"])


def find(server: Connection, name: str) -> Project | None:
    """Return the project of a title or number; None if none has that title.

    Raises:
        UserError: several have the title, none has the number, or the project does not choose one class an image.
    """
    details = _by_title(server, name) or (_by_number(server, name) if name.isdecimal() else None)
    if details is None:
        return None
    xml = str(details.get("label_config") or "")
    return Project(server=server, id=details["id"], title=details["title"], interface=_read(server, details, xml))


def found(server: Connection, name: str) -> Project:
    """Return the project of a title or number.

    Raises:
        UserError: there is none, or an error of ``find``.
    """
    project = find(server, name)
    if project is None:
        raise UserError(f"{server.url}: no project is called '{name}'; kmpl label-studio push makes one of that title")
    return project


def find_or_make(server: Connection, name: str, classes: Sequence[str]) -> Project:
    """Return the project of a title or number; one of a new title is made.

    Args:
        server: where.
        name: title or number.
        classes: what a new project offers.

    Raises:
        UserError: no class for a new project, a title that is too long, or an error of ``find``.
    """
    if project := find(server, name):
        return project
    if not classes:
        raise UserError(
            f"--project {name}: is new and needs classes; name them with --classes cat,dog, or give --labels"
        )
    if not _MIN_TITLE_LENGTH <= len(name) <= _MAX_TITLE_LENGTH:
        raise UserError(
            f"--project {name}: a title has {_MIN_TITLE_LENGTH} to {_MAX_TITLE_LENGTH} characters; give another one"
        )
    xml = interface_for(classes)
    made = server.send("POST", "/api/projects", json={"title": name, "label_config": xml})
    return Project(server=server, id=made["id"], title=name, interface=read_interface(xml), is_new=True)


def _by_title(server: Connection, title: str) -> dict[str, Any] | None:
    same = [details for details in _projects(server, title) if details["title"] == title]
    if len(same) > 1:
        numbers = ", ".join(map(str, sorted(details["id"] for details in same)))
        raise UserError(f"--project {title}: {len(same)} projects have this title; give a number: {numbers}")
    return same[0] if same else None


def _projects(server: Connection, title: str) -> Iterator[dict[str, Any]]:
    """Yield the projects whose title has that text in it."""
    page: int | None = 1
    while page:
        wanted = {"title": title, "page": page, "page_size": _MAX_PROJECTS_AT_ONCE, "include": "id,title,label_config"}
        answer = server.get("/api/projects", **wanted)
        yield from answer["results"]
        page = page + 1 if answer.get("next") else None


def _by_number(server: Connection, number: str) -> dict[str, Any]:
    try:
        details: dict[str, Any] = server.get(f"/api/projects/{int(number)}")
    except RefusedError as error:
        if error.status != _NOT_FOUND:
            raise
        raise UserError(f"{server.url}: there is no project {number}; give a title to make one") from error
    return details


def _read(server: Connection, details: dict[str, Any], xml: str) -> Interface:
    """Return a project's interface; an empty one becomes one without classes yet.

    Raises:
        UserError: an error of ``read_interface``.
    """
    try:
        return read_interface(interface_for(()) if is_empty(xml) else xml)
    except UserError as error:
        error.add_context(f"{server.url}, project {details['id']} '{details['title']}'")
        raise


def offer(project: Project, classes: Iterable[str], say: Callable[[str], None]) -> Project:
    """Return the project once its interface offers all these classes: Label Studio takes unknown ones silently.

    Args:
        project: the project.
        classes: names of classes.
        say: receives a line if classes are added.

    Raises:
        UserError: the server refuses.
    """
    missing = [name for name in dict.fromkeys(classes) if name not in project.interface.classes]
    if not missing:
        return project
    xml = with_classes(project.interface, missing)
    project.server.send("PATCH", project.path, json={"label_config": xml})
    say(f"Added to the classes of project '{project.title}': {', '.join(missing)}")
    return replace(project, interface=read_interface(xml))
