"""Write the pages of docs/reference that the code itself says: `python docs/write_reference.py`."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def package_page(root: Path = ROOT) -> str:
    """Return the page that lists every folder and file of the two packages, each with its first line."""
    lines = [
        "# The package, file by file",
        "",
        "Each line is the first line of the file. A folder imports only folders further down the page, and those",
        "beside it that pyproject.toml's contracts name.",
        "",
    ]
    for folder in _folders(root):
        name = folder.relative_to(root).as_posix()
        lines += [f"## {name}/", "", first_line(folder / "__init__.py"), "", "| file | what it is |", "|---|---|"]
        files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
        lines += [f"| `{path.name}` | {first_line(path).replace('|', '&#124;')} |" for path in files]
        lines += [""]
    return "\n".join(lines)


def _folders(root: Path) -> list[Path]:
    """Return the packages from the entry down to the ground, in the order of the contract on layers."""
    import tomllib

    with (root / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["kmpl"])
    names = [name for layer in layers for name in layer.split(" | ") if (root / "kmpl" / name).is_dir()]
    folders = [root / "kmpl"]
    for name in names:
        folders += [root / "kmpl" / name, *sorted(p.parent for p in (root / "kmpl" / name).glob("*/__init__.py"))]
    folders.insert(folders.index(root / "kmpl" / "commands") + 1, root / "flows")
    return folders


PAGES = {"package.md": package_page}
"""What writes each page."""

if __name__ == "__main__":
    for page, text in PAGES.items():
        (REFERENCE / page).write_text(text(), encoding="utf-8")
