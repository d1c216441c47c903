"""The node text is read whole, and nothing of it is dropped."""

from __future__ import annotations

import pytest

from plainsql.analysis.nodes import Node, NodeTextError, read_tree


def read(text: str) -> Node:
    tree = read_tree(text)
    assert isinstance(tree, Node)
    return tree


def test_node_holds_its_kind_and_fields() -> None:
    """Numbers and flags stay text until they are read."""
    node = read("{VAR :varno 1 :varattno -2 :flag true :name abc}")
    assert node.kind == "VAR"
    assert (node.number("varno"), node.number("varattno"), node.flag("flag"), node.text("name")) == (
        1,
        -2,
        True,
        "abc",
    )


def test_null_is_none_and_a_missing_field_has_a_default() -> None:
    """Fields that other servers do not write are no error."""
    node = read("{X :a <>}")
    assert node.text("a") is None
    assert (node.number("b", 7), node.flag("b"), node.node("b"), node.nodes("b")) == (7, False, None, [])


def test_lists_of_nodes_strings_numbers_and_bits_are_distinct() -> None:
    """Each has its own notation."""
    node = read(
        '{X :nodes ({A} {B}) :names ("id" "a\\ b") :ints (i 1 -2) :oids (o 23 25) :bits (b 9 8) :none (b)}'
    )
    assert [child.kind for child in node.nodes("nodes")] == ["A", "B"]
    assert node.numbers("ints") == (1, -2)
    assert node.numbers("oids") == (23, 25)
    assert node.bits("bits") == {8, 9}
    assert node.bits("none") == frozenset()
    assert node.items("names") == ['"id"', '"a\\ b"']


def test_lists_of_lists_stay_nested() -> None:
    """The rows of `values` are written like this."""
    node = read("{X :rows (({A} {B}) ({C} <>))}")
    rows = node.items("rows")
    assert isinstance(rows[0], list)
    assert isinstance(rows[1], list)
    assert [len(rows[0]), rows[1][1]] == [2, None]
    assert [child.kind for child in node.children()] == ["A", "B", "C"]


def test_datum_is_its_bytes() -> None:
    """Bytes are written as signed numbers."""
    node = read("{CONST :constvalue 4 [ -128 0 1 127 ] :next 5}")
    assert node.datum("constvalue") == b"\x80\x00\x01\x7f"
    assert node.number("next") == 5


def test_escapes_keep_brackets_and_blanks_in_a_token() -> None:
    """A name may contain anything."""
    node = read(r'{X :name a\ b\(c\}\\d :quoted "e\ f" :colon :odd :next 1}')
    assert node.text("name") == r"a b(c}\d"
    assert node.text("quoted") == "e f"
    assert node.text("colon") == ":odd"
    assert node.number("next") == 1


def test_lines_are_wrapped_at_blanks() -> None:
    """The server breaks long texts into lines, also after a backslash."""
    node = read("{X :a\n1 :name b\\\nc\n:list (i 1\n2)}")
    assert node.number("a") == 1
    assert node.numbers("list") == (1, 2)


def test_a_token_without_a_field_is_kept() -> None:
    """`{A_CONST NULL …}` has a word in the place of a field's name."""
    node = read("{A_CONST NULL :location 5}")
    assert node.extra == ["NULL"]
    assert node.number("location") == 5


def test_deep_nesting_is_read_without_recursion() -> None:
    """A chain of thousands of operators is one expression inside the other."""
    depth = 20_000
    node = read("{X :arg " * depth + "{Y}" + "}" * depth)
    assert sum(1 for _ in node.walk()) == depth + 1


@pytest.mark.parametrize("text", ["", "{X :a 1", "{X :a (1}", "}", "({X)"])
def test_text_with_unmatched_brackets_is_refused(text: str) -> None:
    """Half a tree is no tree."""
    with pytest.raises(NodeTextError):
        read_tree(text)
