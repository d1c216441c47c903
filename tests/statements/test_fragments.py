"""Copies of fragments: each file stays whole, a use has its own aliases, and every wrong mark is an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from plainsql.errors import SqlFileError
from plainsql.statements.discovery import find_files
from plainsql.statements.fragment_files import FragmentFolders
from plainsql.statements.fragments import Expansion, expand

VISIBLE = """-- Products that a buyer may see.
-- aliases: p, s

and p.published_at <= now() -- p is the product
-- begin fragment open_shop(s)
-- end fragment open_shop
and p.p = s.p --?
and p."p" <> 'two
  p.lines'
"""
FRAGMENTS: Mapping[str, str] = {
    "_fragments/visible.sql": VISIBLE,
    "_fragments/open_shop.sql": "-- aliases: s\nand exists (\n  select from hours as h where h.id = s.id\n)",
    "_fragments/plain.sql": "and true\n\n\n",
    "shop/_fragments/plain.sql": "and false\n",
    "_fragments/one.sql": "and 1 = 1\n-- begin fragment two\n-- end fragment two\n",
    "_fragments/two.sql": "\n-- begin fragment one\n-- end fragment one\n",
    "_fragments/empty.sql": "-- Nothing.\n",
    "_fragments/several.sql": "and true;\nselect 1",
    "_fragments/wrong.sql": "-- aliases: P q\nand true",
    "_fragments/open.sql": "and 'true",
}
QUERY = "-- One.\n-- returns: many value\nselect 1\nfrom products as a\nwhere true\n{}\nlimit 10\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FRAGMENTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def expanded(folder: Path, lines: str, file: str = "get.sql") -> Expansion:
    return expand(QUERY.format(lines), folder / file, FragmentFolders(folder))


def use(name: str, copy: str = "", indent: str = "  ") -> str:
    plain = name.partition("(")[0]
    return f"{indent}-- begin fragment {name}\n{copy}{indent}-- end fragment {plain}"


def test_a_use_has_its_aliases_its_indentation_and_the_fragments_within(folder: Path) -> None:
    found = expanded(folder, use("visible(a, b)"))
    copy = """\
  and a.published_at <= now() -- p is the product
  -- begin fragment open_shop(b)
  and exists (
    select from hours as h where h.id = b.id
  )
  -- end fragment open_shop
  and a.p = b.p --?
  and a."p" <> 'two
  p.lines'
"""
    assert (found.errors, found.text) == ([], QUERY.format(use("visible(a, b)", copy)))
    assert {Path(path).name for path in found.uses} == {"visible.sql", "open_shop.sql"}
    (drift,) = found.drifts
    assert (drift.place.line, drift.place.column, drift.got) == (6, 3, "")
    assert drift.expected == "and a.published_at <= now() -- p is the product"
    again = expand(found.text, folder / "get.sql", FragmentFolders(folder))
    assert (again.text, again.drifts, again.errors) == (found.text, [], [])
    changed = found.text.replace("and a.p = b.p", "and a.p = a.p")
    (drift,) = expand(changed, folder / "get.sql", FragmentFolders(folder)).drifts
    assert (drift.place.line, drift.expected, drift.got) == (13, "and a.p = b.p --?", "and a.p = a.p --?")


def test_the_nearest_fragment_counts_and_its_folders_have_no_queries(folder: Path) -> None:
    assert "and true" in expanded(folder, use("plain"), "other/get.sql").text
    assert "and false" in expanded(folder, use("plain"), "shop/get.sql").text
    assert find_files(folder) == ([], [])


def test_text_that_names_a_fragment_and_is_no_mark_is_left_alone(folder: Path) -> None:
    for lines in (
        "  -- begin fragments of the list",
        "  and '-- begin fragment plain' <> ''",
        "/*\n-- end fragment x\n*/",
    ):
        found = expanded(folder, lines)
        assert (found.text, found.drifts, found.errors) == (QUERY.format(lines), [], [])


@pytest.mark.parametrize(
    ("lines", "place", "message", "hint"),
    [
        (use("plian"), "get.sql:6:3", "there is no fragment 'plian'", "did you mean plain?"),
        (
            use("plain(a)"),
            "get.sql:6:3",
            "plain: expected no alias, got 1",
            "write -- begin fragment plain",
        ),
        (
            use("visible(a)"),
            "get.sql:6:3",
            "visible: expected 2 aliases (p, s), got 1",
            "write -- begin fragment visible(p, s)",
        ),
        (
            use("open_shop(h)"),
            "get.sql:6:3",
            "the fragment open_shop has a relation h of its own",
            "give the relation of this file another alias",
        ),
        (
            "  -- begin fragment plain",
            "get.sql:6:3",
            "the fragment plain has no end",
            "write -- end fragment plain on the line below it",
        ),
        (
            "  -- end fragment plain",
            "get.sql:6:3",
            "no fragment plain begins above its end",
            "write -- begin fragment plain, or remove the end",
        ),
        (
            "  -- begin fragment plain\n  -- end fragment visible",
            "get.sql:7:3",
            "expected the end of the fragment plain, got that of visible",
            "write -- end fragment plain",
        ),
        (
            "  --begin fragment: plain",
            "get.sql:6:3",
            "expected '-- begin fragment NAME', got '--begin fragment: plain'",
            "write -- begin fragment NAME, or -- begin fragment NAME(alias, alias)",
        ),
        (
            "  and true -- begin fragment plain",
            "get.sql:6:12",
            "the mark of a fragment is behind other text",
            "write it on a line of its own",
        ),
        (
            use("one"),
            "two.sql:2:1",
            "the fragment one uses itself: one > two > one",
            "remove one of the uses",
        ),
        (use("empty"), "empty.sql:1:1", "the fragment is empty", "write its SQL below the comment"),
        (
            use("several"),
            "several.sql:1:9",
            "a fragment is a part of a statement, expected no semicolon",
            "remove it",
        ),
        (
            use("wrong"),
            "wrong.sql:1:1",
            "expected different names in lower case, got 'P q'",
            "write them as -- aliases: p, s",
        ),
        (
            use("open"),
            "open.sql:1:5",
            "a string has no end, expected '",
            "close it with '; write '' for a ' inside it",
        ),
    ],
)
def test_a_wrong_use_is_one_error_and_the_file_stays(
    folder: Path, lines: str, place: str, message: str, hint: str
) -> None:
    found = expanded(folder, lines)
    error, *at_use = found.errors
    assert error.place is not None
    # The error of a fragment makes one of the query as well, whose module is not written without its copy.
    assert [f"{each.place}: {each.message}" for each in at_use] == (
        []
        if place.startswith("get.sql")
        else [f"{folder}/get.sql:6:3: the fragment {lines.split()[3]} has an error: {error.place}"]
    )
    assert f"{Path(error.place.path).name}:{error.place.line}:{error.place.column}" == place
    assert (error.message, error.hint) == (message, hint)
    assert (found.text, found.drifts) == (QUERY.format(lines), [])


def test_a_mark_in_the_header_and_a_text_without_tokens_are_errors(folder: Path) -> None:
    text = "-- All.\n-- returns: many value\n-- begin fragment plain\n-- end fragment plain\nselect 1\n"
    found = expand(text, folder / "get.sql", FragmentFolders(folder))
    assert [(each.message, each.hint) for each in found.errors] == [
        ("the mark of a fragment is part of the header", "leave an empty line above it")
    ] * 2
    spaced = text.replace("-- begin", "\n-- begin")
    assert expand(spaced, folder / "get.sql", FragmentFolders(folder)).errors == []
    with pytest.raises(SqlFileError, match="a string has no end"):
        expanded(folder, use("plain") + "\n  and 'true")
