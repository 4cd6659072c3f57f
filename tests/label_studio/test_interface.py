"""Labelling interfaces as people write them: which are understood, what is added, what is refused."""

import pytest

from kmpl.errors import UserError
from kmpl.label_studio.interface import interface_for, is_empty, read_interface, with_classes

PEOPLES = """<View>
  <!-- which animal -->
  <Header value="Which?"/>
  <Image name="photo" value="$address" zoom="true"/>
  <Choices name="animal" toName="photo" showInline="true">
    <Choice value="cat" hotkey="c"/><View><Choice value="A dog" alias="dog"/></View>
  </Choices>
</View>"""


def test_names_of_people_are_taken_and_an_alias_is_the_class() -> None:
    found = read_interface(PEOPLES)
    assert (found.choices, found.image, found.key) == ("animal", "photo", "address")
    assert found.classes == ("cat", "dog")


def test_a_class_is_added_and_all_else_stays() -> None:
    more = with_classes(read_interface(PEOPLES), ['a "b" <c>', "z & y"])
    assert read_interface(more).classes == ("cat", "dog", 'a "b" <c>', "z & y")
    for part in ("<!-- which animal -->", 'hotkey="c"', 'zoom="true"', '<Header value="Which?"'):
        assert part in more


def test_what_kmpl_makes_is_understood_and_not_empty() -> None:
    made = interface_for(["cat", "dog"])
    assert read_interface(made).classes == ("cat", "dog")
    assert not is_empty(made)
    assert is_empty("<View></View>")
    assert is_empty("")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "<Choices",
            '<RectangleLabels name="b" toName="photo"/><Choices',
            "has RectangleLabels; only choices, one class",
        ),
        ("<Choices", '<Choices name="b" toName="photo"/><Choices', "has 2 times Choices; give it one"),
        ("showInline", 'choice="multiple" showInline', 'set choice="single"'),
        ("showInline", 'value="$options" showInline', "take their classes from the tasks"),
        ('name="photo"', 'name="other"', "are for photo, which is no Image"),
        ('value="$address"', 'value="x.png"', "which is no Image with a value like"),
        ("<View>\n", "<View>\n<Oops>", "is no XML .*; correct it in the project's settings"),
        ("<View>\n", '<!DOCTYPE v [<!ENTITY a "b">]><View>\n', "declares entities"),
        ("<View>\n", "<! doctype v><View>\n", "declares entities"),
    ],
)
def test_other_interfaces_are_refused_in_one_line(old: str, new: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        read_interface(PEOPLES.replace(old, new, 1))


def test_an_interface_without_choices_is_refused() -> None:
    with pytest.raises(UserError, match="has no Choices; give it one, with a Choice for each class"):
        read_interface('<View><Image name="image" value="$image"/></View>')
