"""Pages of docs/reference are what the code says."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = runpy.run_path(str(ROOT / "docs" / "write_reference.py"))["PAGES"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_the_code_writes_is_up_to_date(page: str) -> None:
    standing = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    assert standing == PAGES[page](), "write it anew: python docs/write_reference.py"


def test_every_file_of_the_package_says_what_it_is() -> None:
    page = PAGES["package.md"]()
    for path in [*(ROOT / "kmpl").rglob("*.py"), *(ROOT / "flows").glob("*.py")]:
        assert f"`{path.name}` |  |" not in page, path
