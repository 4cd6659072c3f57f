"""The labelling interface of a project (XML): what its image and its choices are called, and which classes it has."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

from kmpl.errors import UserError
from kmpl.formats.label_studio import labelling_interface
from kmpl.formats.records import LabelRecord

_DECLARES = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What tasks and predictions must say to fit a project."""

    choices: str
    """Name of the choices: ``from_name`` of a result."""
    image: str
    """Name of the image: ``to_name`` of a result."""
    key: str
    """Key of the image's address in a task's data."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the interface."""
    xml: str


def interface_for(classes: Iterable[str]) -> str:
    """Return an interface with which a person chooses one class an image.

    >>> read_interface(interface_for(["cat", 'a "big" dog'])).classes
    ('a "big" dog', 'cat')
    """
    return labelling_interface([LabelRecord(file="", label=name) for name in classes])


def is_empty(xml: str) -> bool:
    """Say whether nobody has made a project's interface yet: nothing in it is named.

    >>> is_empty("<View></View>"), is_empty(interface_for(["cat"]))
    (True, False)
    """
    return all("name" not in element.attrib for element in _parsed(xml).iter())


def read_interface(xml: str) -> Interface:
    """Return what a project's interface is made of.

    Raises:
        UserError: no XML, no choice of one class for an image, or more than that.
    """
    root = _parsed(xml)
    controls = [element for element in root.iter() if "toName" in element.attrib]
    choices = [element for element in controls if element.tag == "Choices"]
    others = sorted({str(element.tag) for element in controls} - {"Choices"})
    if others:
        raise UserError(
            f"its interface has {', '.join(others)}; only choices, one class an image, are pushed and pulled"
        )
    if len(choices) != 1:
        count = "no Choices" if not choices else f"{len(choices)} times Choices"
        raise UserError(f"its interface has {count}; give it one, with a Choice for each class")
    (control,) = choices
    _check_choices(control)
    image, key = _image_of(root, control.attrib["toName"])
    names = [choice.get("alias") or choice.get("value") or "" for choice in control.iter("Choice")]
    return Interface(
        choices=control.attrib.get("name", ""), image=image, key=key, classes=tuple(filter(None, names)), xml=xml
    )


def _check_choices(control: ElementTree.Element) -> None:
    """Refuse choices that give an image several classes, or none that are known.

    Raises:
        UserError: in one line.
    """
    if control.get("choice", "single").startswith("multiple"):
        raise UserError('its Choices have choice="multiple", several classes an image; set choice="single"')
    if control.get("value"):
        raise UserError("its Choices take their classes from the tasks; give it a Choice for each class")


def _image_of(root: ElementTree.Element, name: str) -> tuple[str, str]:
    """Return the name of the image that the choices are for, and its key in the data of tasks.

    Raises:
        UserError: they are for something else.
    """
    element = next((element for element in root.iter("Image") if element.get("name") == name), None)
    value = "" if element is None else element.get("value", "")
    if not value.startswith("$"):
        raise UserError(f'its Choices are for {name}, which is no Image with a value like "$image"')
    return name, value.removeprefix("$")


def with_classes(interface: Interface, names: Iterable[str]) -> str:
    """Return the interface with further classes, behind those that there are.

    >>> more = with_classes(read_interface(interface_for(["cat"])), ["dog"])
    >>> read_interface(more).classes
    ('cat', 'dog')
    """
    root = _parsed(interface.xml)
    control = next(element for element in root.iter("Choices"))
    for name in names:
        ElementTree.SubElement(control, "Choice", {"value": name})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _parsed(xml: str) -> ElementTree.Element:
    """Return the tree of an interface; comments stay.

    Raises:
        UserError: no XML, or it declares entities, which may grow without end.
    """
    if _DECLARES.search(xml):
        raise UserError("its interface declares entities (DOCTYPE); take them out")
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    try:
        return ElementTree.fromstring(xml or "<View/>", parser)
    except ElementTree.ParseError as error:
        raise UserError(f"its interface is no XML ({error}); correct it in the project's settings") from error
