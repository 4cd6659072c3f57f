"""``kmpl data``: what is in a data set, and which of its images come twice."""


def data(name: str, /) -> None:
    """Show the sizes, classes and label counts of a data set, and warn of images that come twice.

    Images are compared pixel by pixel, as kmpl reads them, within each part and across the split.

    Args:
        name: Data set: MNIST (comes with kmpl), FashionMNIST, KMNIST, EMNIST, USPS, SVHN, CIFAR10, CIFAR100, or
            folder:PATH (a sub-folder per class).
    """
    import warnings

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from kmpl.datasets.duplicates import summarize
    from kmpl.datasets.registry import read
    from kmpl.errors import DuplicatesWarning

    found = summarize(read(name, train=True), read(name, train=False))
    channels, height, width = found.shape
    console = Console()
    colour = "grey" if channels == 1 else "colour"
    console.print(
        f"{escape(name)}: {len(found.classes)} classes, {colour} images of {height} × {width}",
        highlight=False,
        soft_wrap=True,
    )
    grid = Table("", *found.counts, box=None, pad_edge=False)
    for column in grid.columns[1:]:
        column.justify = "right"
    for number, label in enumerate(found.classes):
        grid.add_row(escape(label), *(f"{counts[number]:,}" for counts in found.counts.values()))
    grid.add_row("all", *(f"{counts.sum():,}" for counts in found.counts.values()))
    grid.add_row("copies within", *(f"{n:,}" for n in found.copies.values()))
    grid.add_row("in both", "", f"{found.in_both:,}")
    console.print(grid)
    for line in found.warnings():
        warnings.warn(f"{name}: {line}", DuplicatesWarning, stacklevel=1)
