"""A secret is a text that is not printed, and not serialized with its row."""

from __future__ import annotations

import copy
import json
import logging
import marshal
import pickle
import uuid
from collections.abc import Callable

import msgspec
import pytest

from plainsql.crypto import Secret
from tests.crypto.project.queries.vault.channels import Channel

PLAIN = "EAAG-plain"
SECRET = Secret(PLAIN)
ROW = Channel(uuid.uuid4(), uuid.uuid4(), "1", SECRET, None)


def test_it_is_the_text() -> None:
    assert SECRET == PLAIN
    assert f"Bearer {SECRET}" == f"Bearer {PLAIN}"
    assert type(str(SECRET)) is str
    assert {PLAIN: 1}[SECRET] == 1


@pytest.mark.parametrize("shown", [SECRET, [SECRET], {"a": SECRET}, ROW, (ROW,), msgspec.structs.asdict(ROW)])
def test_no_repr_shows_it(shown: object) -> None:
    assert PLAIN not in repr(shown)
    assert "Secret('***')" in repr(shown)


@pytest.mark.parametrize("value", [SECRET, ROW, [ROW]], ids=["secret", "row", "rows"])
def test_nothing_that_serializes_whole_objects_takes_it(value: object) -> None:
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            encode(value)
        assert PLAIN not in str(caught.value)


def fails(action: Callable[[], object]) -> str:
    with pytest.raises((ValueError, LookupError, OSError, ImportError)) as caught:
        action()
    return str(caught.value)


def test_errors_that_quote_a_value_do_not_show_it() -> None:
    empty: dict[str, int] = {}
    other = [""]
    for action in (
        lambda: int(SECRET),
        lambda: float(SECRET),
        lambda: empty[SECRET],
        lambda: other.index(SECRET),
        lambda: open(SECRET),  # noqa: PTH123, SIM115 (a Path would make a plain str of it)
        lambda: marshal.dumps(SECRET),
    ):
        assert PLAIN not in fails(action)


def test_the_pages_sentences_on_logging_hold(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("app").info("%r %s", SECRET, [SECRET])
        logging.getLogger("app").info("%s", ROW)
    assert PLAIN not in caplog.text
    with caplog.at_level(logging.INFO):
        logging.getLogger("app").info("%s", SECRET)
    assert PLAIN in caplog.text, "the page says that it does"


def test_the_pages_sentences_on_json_hold() -> None:
    assert json.dumps({"token": SECRET}) == json.dumps({"token": PLAIN}), "json consults no subclass of str"


def test_a_copy_is_the_same_secret() -> None:
    assert copy.copy(SECRET) is SECRET
    assert copy.deepcopy([SECRET])[0] is SECRET
