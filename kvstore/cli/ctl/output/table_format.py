"""`-w table`: boxes of ASCII, as Go's tablewriter draws them."""

from collections.abc import Iterator, Sequence


def table_lines(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: titles centred, in capitals; cells to the right."""
    heads = [title.upper().replace("_", " ") for title in titles]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = "+".join(["", *("-" * (width + 2) for width in widths), ""])
    yield rule
    yield _row(_centred(head, width) for head, width in zip(heads, widths, strict=True))
    yield rule
    for row in rows:
        yield _row(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    yield rule


def _centred(text: str, width: int) -> str:
    left = (width - len(text)) // 2
    return (" " * left + text).ljust(width)


def _row(cells: Iterator[str]) -> str:
    return "|" + "".join(f" {cell} |" for cell in cells)
