"""YAML's nodes, each with its place."""

from __future__ import annotations

from typing import Any

#: Line and column, both from 0, as YAML's marks count.
Place = tuple[int, int]


class Node:
    """A part of the document."""

    __slots__ = ("end", "height", "size", "start", "tag")

    def __init__(self, tag: str, event: Any) -> None:
        #: `str`, `int`, `float`, `bool`, `null`, `timestamp`, `merge`, `value`, `seq`, `map`, or a
        #: tag the user wrote.
        self.tag = tag
        #: Where it begins and where it ends.
        self.start: Place = start_of(event)
        self.end: Place = self.start
        #: Nodes in it, itself and every repetition by aliases included.
        self.size = 1
        #: Levels of nodes in it, itself included.
        self.height = 1

    def close(self, event: Any) -> None:
        """Note where the node ends."""
        mark = event.end_mark
        self.end = (mark.line, mark.column)

    def adopt(self, child: Node) -> None:
        """Count a child."""
        self.size += child.size
        if child.height >= self.height:
            self.height = child.height + 1


class Scalar(Node):
    """A text, as it is written."""

    __slots__ = ("text",)

    def __init__(self, tag: str, event: Any) -> None:
        # As the other nodes', but in one step: a large file has a million of them.
        begin, end = event.start_mark, event.end_mark
        self.tag = tag
        self.start = begin.line, begin.column
        self.end = end.line, end.column
        self.size = self.height = 1
        self.text: str = event.value


class Sequence(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, tag: str, event: Any) -> None:
        super().__init__(tag, event)
        self.items: list[Node] = []

    def adopt(self, child: Node) -> None:
        """Add an item."""
        super().adopt(child)
        self.items.append(child)


class Mapping(Node):
    """Keys with values."""

    __slots__ = ("_key", "pairs")

    def __init__(self, tag: str, event: Any) -> None:
        super().__init__(tag, event)
        self.pairs: list[tuple[Node, Node]] = []
        self._key: Node | None = None

    def adopt(self, child: Node) -> None:
        """Add a key, or the value of the key before."""
        super().adopt(child)
        if self._key is None:
            self._key = child
        else:
            self.pairs.append((self._key, child))
            self._key = None


def start_of(event: Any) -> Place:
    """Return where a parser's event begins."""
    mark = event.start_mark
    return mark.line, mark.column
