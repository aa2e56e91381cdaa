"""What holds for every node, wherever it stands: no tags, no key twice; and which values may be
secrets.
"""

from __future__ import annotations

from collections.abc import Iterator

from kronii.definitions.hiding import ShownKeys
from kronii.definitions.nodes import Mapping, Node, Scalar, Sequence
from kronii.definitions.problems import Report, shown
from kronii.definitions.source import Source

#: What YAML 1.1 makes of plain values by itself; any other tag was written by hand.
_PLAIN_TAGS = {
    Scalar: frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge", "value"}),
    Sequence: frozenset({"seq"}),
    Mapping: frozenset({"map"}),
}


def inspect(root: Node, source: Source, report: Report) -> None:
    """Report tags and duplicate keys anywhere, and tell `source` which values not to show."""
    seen: set[tuple[int, bool]] = set()
    stack = [(root, False)]
    while stack:
        node, hidden = stack.pop()
        if isinstance(node, Scalar):
            _scalar(node, hidden, source, report)
        elif (id(node), hidden) not in seen:
            seen.add((id(node), hidden))
            _refuse_tag(node, report)
            stack.extend(_children(node, hidden, source, report))
    source.parsed = True


def _scalar(node: Scalar, hidden: bool, source: Source, report: Report) -> None:
    _refuse_tag(node, report)
    if hidden:
        source.hide(node.start, node.end)


def _refuse_tag(node: Node, report: Report) -> None:
    """Report a tag, and drop it: what stands beneath it is judged as if it were not there."""
    known = _PLAIN_TAGS[type(node)]
    if node.tag not in known:
        report.error(
            node.start,
            f"tags such as {shown('!' + node.tag.lstrip('!'))} are refused: write a plain value",
        )
        node.tag = "str" if "str" in known else min(known)


def _children(
    node: Node, hidden: bool, source: Source, report: Report
) -> Iterator[tuple[Node, bool]]:
    if isinstance(node, Sequence):
        yield from ((item, hidden) for item in node.items)
    elif isinstance(node, Mapping):
        _refuse_duplicates(node, report)
        for key, value in node.pairs:
            if not isinstance(key, Scalar):
                report.error(key.start, "a key must be a word, not a list or a mapping")
                yield key, True
            elif not is_word(key.text) or (hidden and value.tag == "null"):
                source.hide(key.start, key.end)
            yield value, hidden or _is_secret(key, value, source.shown_keys)


def _is_secret(key: Node, value: Node, keys: ShownKeys) -> bool:
    name = key.text if isinstance(key, Scalar) else ""
    if name == "<<" or name.startswith("x-") or name in keys.mappings:
        return isinstance(value, Scalar)
    return name not in keys.names


def is_word(text: str) -> bool:
    """Whether a key may be shown: `{TOKEN=secret}` is a key with a secret in it."""
    return text == "<<" or text.replace("_", "").replace("-", "").isalnum()


def _refuse_duplicates(node: Mapping, report: Report) -> None:
    first: dict[str, Scalar] = {}
    for key, _ in node.pairs:
        if isinstance(key, Scalar) and first.setdefault(key.text, key) is not key:
            name = f" {shown(key.text)}" if is_word(key.text) else ""
            report.error(
                key.start,
                f"duplicate key{name}: it is set on line {first[key.text].start[0] + 1} already",
            )
