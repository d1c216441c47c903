"""The language of the project: docstrings, comments, messages, pages and names of modules.

``python scripts/language.py --list KIND PATH`` lists what these tests refuse, for one folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from scripts import language
from scripts.language import NOUNS_IN_ING, TARGETS, Offence, is_fronted, style_of
from scripts.passages import (
    ROOT,
    Passage,
    comments,
    docstrings,
    files_below,
    golden_messages,
    goldens,
    is_generated,
    messages,
    page_passages,
    sentences,
    words,
)

PACKAGE = ROOT / "src" / "plainsql"

# Two modules of the same name in the package, and why neither has a clearer one.
SAME_NAMES = {
    "catalog": "a catalog of statements by name; the server's catalog of tables",
    "codecs": "the codecs of a connection's values, in both",
    "discovery": "the search for a folder's files, in both",
    "errors": "the error classes of the package; the mapping of a driver's errors in a folder",
    "keys": "the keys in Redis of one feature, in both",
    "model": "the data classes of a folder, in both",
    "results": "the result classes of a folder's functions, in both",
    "state": "the shared state of a database; the state file of an embedded server",
    "tls": "TLS as both drivers read it; TLS of the pool's connections",
}


counts = cache(language.counts)


def offences(kind: str) -> list[str]:
    """Return the offences of a kind, in all that the script reads by default."""
    listed, paths = language.KINDS[kind]
    return [str(offence) for offence in listed([ROOT / path for path in paths])]


# -- The project


def test_no_docstring_opens_with_a_relative_word() -> None:
    assert offences("openings") == []


def test_no_text_has_a_refused_word() -> None:
    assert offences("words") == []


def test_messages_and_hints_have_one_style() -> None:
    assert offences("messages") == []


def test_pages_open_their_sentences_with_the_main_clause() -> None:
    share = counts()["pages"]["fronted sentences %"]
    assert share <= 2.0, "\n".join(offences("fronted"))


def test_pages_speak_to_the_reader() -> None:
    assert counts()["pages"]["you per 1,000"] >= 15.0


def test_no_module_is_named_by_a_gerund() -> None:
    assert offences("modules") == []


def test_every_noun_in_ing_is_a_module() -> None:
    names = {path.stem for path in files_below([PACKAGE], ".py")}
    assert sorted(NOUNS_IN_ING.keys() - names) == []


def names_of_their_own() -> dict[str, list[str]]:
    """The modules of the package by name, but for those that are named by something else."""
    found = defaultdict(list)
    for path in files_below([PACKAGE], ".py"):
        inside = path.relative_to(PACKAGE)
        # A command's module has the command's name, a layer's the table's; sync has what database has.
        if inside.parts[0] not in {"cli", "layers", "sync"} and not path.stem.startswith("__"):
            found[path.stem].append(inside.as_posix())
    return found


def test_no_two_modules_have_one_name_without_a_reason() -> None:
    twice = {name: paths for name, paths in names_of_their_own().items() if len(paths) > 1}
    assert {name: paths for name, paths in twice.items() if name not in SAME_NAMES} == {}


def test_every_reason_for_a_second_module_of_a_name_is_needed() -> None:
    modules = names_of_their_own()
    assert [name for name in SAME_NAMES if len(modules[name]) < 2] == []


# -- The script sees what it is for


def python(folder: Path, source: str) -> Path:
    path = folder / "module.py"
    path.write_text(source, "utf-8")
    return path


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, "utf-8")
    return path


def texts(passages: Iterable[Passage | Offence]) -> list[tuple[int, str]]:
    return [(passage.line, passage.text) for passage in passages]


@pytest.mark.parametrize(
    "opening",
    [
        "What a call costs.",
        "Which columns a statement writes.",
        "Whether it may be null.",
        "Of what headers name, that which the table has.",
        "Where it is.",
        "Whoever asks.",
        "That a row is there.",
        "Nothing is sent.",
        "If it is closed.",
        "When it opened.",
        "As the rows are written.",
        "By what a group is known.",
        "Only what is pending.",
    ],
)
def test_a_relative_opening_of_a_docstring_is_seen(tmp_path: Path, opening: str) -> None:
    path = python(tmp_path, f'x: int = 0\n"""The x."""\n\n\ndef f() -> None:\n    """{opening}"""\n')
    assert texts(language.openings([path])) == [(6, opening)]


@pytest.mark.parametrize(
    "opening",
    [
        "The connection pool of one database.",
        "Return the rows in the order of the calls.",
        "``None`` if there is none.",
        "As-is copies.",
        "Everything that a write may change.",
        "Whole rows.",
        "Offsets of lines.",
        "Iffy rows.",
    ],
)
def test_an_opening_with_a_noun_or_a_verb_is_none(tmp_path: Path, opening: str) -> None:
    assert texts(language.openings([python(tmp_path, f'"""{opening}"""\n')])) == []


def test_docstrings_of_all_definitions_are_read(tmp_path: Path) -> None:
    path = python(
        tmp_path,
        '"""Module."""\n\nclass A:\n    """Class."""\n\n    a: int\n    """Attribute."""\n\n'
        '    async def f(self):\n        """Method."""\n\n        "no docstring"\n',
    )
    assert {(p.line, p.kind, p.text) for p in docstrings(path)} == {
        (1, "docstring", "Module."),
        (4, "docstring", "Class."),
        (7, "attribute", "Attribute."),
        (10, "docstring", "Method."),
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It begins anew.", "anew"),
        ("The cache is told of it.", "told"),
        ("What stands here.", "stands"),
        ("All at\nonce.", "at once"),
        ("All at once.", "at once"),
        ("``tell`` is a method.", None),
        ("Understand standards on standby, besides.", None),
        ("For good reason.", None),
        ("Two rows, of which one stays.", "of which"),
        ("Two rows, each of which stays.", None),
        ("It is gone for good.", "for good"),
        ("Example::\n\n    ask(told)\n\nThe end.", None),
    ],
)
def test_a_refused_word_is_seen_in_prose_and_not_in_code(text: str, found: str | None) -> None:
    listed = [offence.text for offence in language.refused_words([Passage(ROOT, 1, "docstring", text)])]
    assert listed == ([] if found is None else [f"docstring: {found}: … {language.one_line(text)} …"])


def test_comments_that_follow_each_other_are_one_text(tmp_path: Path) -> None:
    path = python(tmp_path, "x = 1  # noqa: E501\n# One\n# two.\n\n# Three.\ny = '# none'\n")
    assert texts(comments(path)) == [(2, "One\ntwo."), (5, "Three.")]
    query = tmp_path / "query.sql"
    query.write_text("-- Four.\nselect 1\n", "utf-8")
    assert texts(comments(query)) == [(1, "Four.")]


PAGE = """\
# What a heading says

What ends it
is a write. That is fine. That the cache is empty is no error. Why not?

- Nobody is `asked. Or`. You are.

| Which | table |
|---|---|
| of | cells |

```python
# Whose code
```

`code`: `only`

<!-- Generated by a script from here on. -->

What is generated.
"""


def test_the_sentences_of_a_page_are_those_of_its_paragraphs(tmp_path: Path) -> None:
    found = [s for passage in page_passages(page(tmp_path, PAGE)) for s in sentences(passage)]
    assert texts(found) == [
        (3, "What ends it\nis a write."),
        (4, "That is fine."),
        (4, "That the cache is empty is no error."),
        (6, "Nobody is `asked. Or`."),
    ]
    assert [is_fronted(s.text) for s in found] == [True, False, True, True]


@pytest.mark.parametrize(
    ("sentence", "fronted"),
    [
        ("Where no row is there, it raises.", True),
        ("Of two calls one waits.", True),
        ("Only what is proved is sent.", True),
        ("To whom it belongs is known.", True),
        ("Where is the log?", False),
        ("Often it is enough.", False),
        ("If you need the row, call `get`.", False),
        ("Whole rows are sent.", False),
    ],
)
def test_a_fronted_sentence_is_told_from_a_question(sentence: str, fronted: bool) -> None:
    assert is_fronted(sentence) is fronted


def test_code_is_one_word() -> None:
    assert words("call `db.cache.touch(x)` and don't wait 5 s") == [
        "call",
        "`db.cache.touch(x)`",
        "and",
        "don't",
        "wait",
        "5",
        "s",
    ]


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ("the pool is closed", None),
        ("PostgreSQL answers nothing", None),
        ("DATABASE_URL is not set", None),
        ("Database(…) is no context", None),
        ("write :name … or leave it out", None),
        ("a URL looks like postgresql://…", None),
        ("Write :name", "opens with a capital"),
        ("A query is missing", "opens with a capital"),
        ("the pool is closed.", "ends with a full stop"),
        ("restart it. Then try again", "has two sentences"),
    ],
)
def test_the_style_of_a_message(message: str, wrong: str | None) -> None:
    assert style_of(message, "hint") == wrong


MESSAGES = """\
_HINT = "First hint"
def f(name):
    raise BindError(f"{name}: second", detail="third", hint="fourth" if name else "fifth")
    raise source.error(0, "sixth one", hint=f"seventh {name}")
    yield Finding("code", "eighth", 7, "ninth")
    raise KeyError("none")
    log("none of ours")
"""


def test_the_messages_of_a_module_are_found(tmp_path: Path) -> None:
    found = {(p.line, p.kind, p.text) for p in messages(python(tmp_path, MESSAGES))}
    assert found == {
        (1, "hint", "First hint"),
        (3, "message", "{…}: second"),
        (3, "detail", "third"),
        (3, "hint", "fourth"),
        (3, "hint", "fifth"),
        (4, "message", "sixth one"),
        (4, "hint", "seventh {…}"),
        (5, "message", "eighth"),
        (5, "hint", "ninth"),
        (5, "code", "code"),
    }


def test_the_messages_of_a_golden_text_are_found(tmp_path: Path) -> None:
    golden = tmp_path / "golden.txt"
    golden.write_text(
        "select 1\n====\nsql/app/query.sql:2:1: The first [finding]\n    select 1\nHINT: the second\n"
        "    unbounded at 7: the third | the fourth\n",
        "utf-8",
    )
    assert [(p.line, p.kind, p.text) for p in golden_messages(golden)] == [
        (3, "message", "The first"),
        (5, "hint", "the second"),
        (6, "message", "the third"),
        (6, "hint", "the fourth"),
    ]
    assert len(goldens()) > 100


def test_generated_files_are_no_hand_written_modules() -> None:
    layers = files_below([PACKAGE / "layers"], ".py")
    assert any(is_generated(path) for path in layers)
    assert not any(is_generated(path) for path in files_below([PACKAGE / "statements"], ".py"))


def test_every_target_is_a_count() -> None:
    counted = {name for values in counts().values() for name in values}
    assert set(TARGETS) <= counted
