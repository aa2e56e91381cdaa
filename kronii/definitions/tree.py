"""YAML's tree of nodes, built from the parser's events.

Not by `yaml.compose`: the C composer recurses and dies of a segmentation fault in a file that opens
100,000 brackets, and it takes seven times as long as its events.  This one bounds depth and what
aliases multiply while it builds, so that a "YAML bomb" is refused before anything walks through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import yaml
from yaml.resolver import Resolver

from kronii.definitions.nodes import Mapping, Node, Place, Scalar, Sequence, start_of

#: Levels of the deepest nesting that is read; a job's headers are on the fifth.
DEPTH_LIMIT = 40

#: Nodes that aliases may add to those written out: defaults of ten keys merged into 10,000 jobs,
#: four times over.
ALIAS_LIMIT = 1_000_000

#: Events of the largest document (a value is one, a list or a mapping two): thirty for each of
#: 100,000 jobs, and some minutes' work.
EVENT_LIMIT = 3_000_000

#: Characters of the longest text of any kind: a statement or a body (their rules' bound).
TEXT_LIMIT = 1024 * 1024

_TAG = "tag:yaml.org,2002:"


class Refused(Exception):
    """A document that is valid YAML and still not read."""

    def __init__(self, place: Place, why: str) -> None:
        super().__init__(why)
        #: Where it is.
        self.place = place


class Composer:
    """Builds the tree of one document from its events."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._open: list[Node] = []
        self._anchors: dict[str, Node] = {}
        self._added = 0
        self._root: Node | None = None

    def document(self) -> Node | None:
        """Return the document's root, None if there is no document.

        Raises:
            Refused: there are two documents, or one is too large, nested too deep, or repeats
                itself too often or without end.
            yaml.YAMLError: the text is not YAML.
        """
        steps = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: self._sequence,
            yaml.MappingStartEvent: self._mapping,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.DocumentStartEvent: self._document,
        }
        for count, event in enumerate(self._events):
            if count > EVENT_LIMIT:
                raise Refused(start_of(event), f"more than {EVENT_LIMIT:,} values in one file")
            step = steps.get(event.__class__)
            if step is not None:
                step(event)
        return self._root

    def _document(self, event: Any) -> None:
        if self._root is not None:
            why = (
                "the file holds a second document: put all jobs under one jobs: and remove the ---"
            )
            raise Refused(start_of(event), why)

    def _scalar(self, event: Any) -> None:
        if len(event.value) > TEXT_LIMIT:
            why = f"a text of {len(event.value):,} characters: the longest that is read has"
            raise Refused(start_of(event), f"{why} {TEXT_LIMIT:,}")
        tag = event.tag
        named = _resolved(event) if tag is None or tag == "!" else _short(tag)
        node = Scalar(named, event)
        self._anchor(event, node)
        self._adopt(node)

    def _sequence(self, event: Any) -> None:
        self._start(
            event, Sequence("seq" if event.tag in (None, "!") else _short(event.tag), event)
        )

    def _mapping(self, event: Any) -> None:
        self._start(event, Mapping("map" if event.tag in (None, "!") else _short(event.tag), event))

    def _start(self, event: Any, node: Node) -> None:
        self._anchor(event, node)
        self._open.append(node)
        self._bound(event, 0)

    def _end(self, event: Any) -> None:
        node = self._open.pop()
        node.close(event)
        self._adopt(node)

    def _adopt(self, node: Node) -> None:
        if self._open:
            self._open[-1].adopt(node)
        else:
            self._root = node

    def _anchor(self, event: Any, node: Node) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise Refused(
                start_of(event),
                "an alias (*) without its anchor (&): to begin a text with *, quote it",
            )
        if any(node is parent for parent in self._open):
            raise Refused(
                start_of(event),
                "an alias (*) within its own anchor (&) would repeat itself without end",
            )
        self._added += node.size
        self._bound(event, node.height)
        self._adopt(node)

    def _bound(self, event: Any, height: int) -> None:
        if len(self._open) + height > DEPTH_LIMIT:
            raise Refused(start_of(event), f"nested deeper than {DEPTH_LIMIT} levels")
        if self._added > ALIAS_LIMIT:
            raise Refused(start_of(event), f"aliases (*) repeat more than {ALIAS_LIMIT:,} nodes")


def _short(tag: str) -> str:
    return tag.removeprefix(_TAG)


#: Characters of the longest text that is kept: words come again in every job, longer texts hardly
#: do, and a cache would hold on to them.
_WORD = 50
_resolver = Resolver()


def _resolved(event: Any) -> str:
    """Return what YAML 1.1 takes a text for; a quoted one is a text."""
    if not event.implicit[0]:
        return "str"
    return _resolved_word(event.value) if len(event.value) <= _WORD else _resolve(event.value)


def _resolve(text: str) -> str:
    resolve: Callable[..., str] = _resolver.resolve
    return _short(resolve(yaml.ScalarNode, text, (True, False)))


_resolved_word = lru_cache(maxsize=4096)(_resolve)
