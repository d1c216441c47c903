"""The file is complete or missing; its faults are reported before a row is written."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from plainsql.transfer import TransferError, check_file, create_file, open_file
from tests.transfer.conftest import Pair

NOTES = "create schema shop; create table shop.notes (id integer primary key, text text not null)"


@pytest.fixture
def content(pair: Pair) -> bytes:
    pair.both(NOTES)
    pair.source.run("insert into shop.notes select n, 'note ' || n from generate_series(1, 50) as n")
    return pair.source.export()


def lines_changed(change: Callable[[list[bytes]], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        change(lines)
        return b"".join(lines)

    return changed


WRONG: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "file:1: the file is empty"),
    "another file": (lambda _: b'{"a":1}\n', "file:1: this is not an export of plainsql"),
    "half a line less": (lambda c: c[:-7], "file:53: the file ends before its last line"),
    "the last line less": (lines_changed(lambda x: x.pop()), "file:53: the file ends before its last line"),
    "half of it less": (lambda c: c[: len(c) // 2], "the file ends before its last line"),
    "a row less": (lines_changed(lambda x: x.pop(5)), "file:52: the file was changed after it was written"),
    "a row twice": (
        lines_changed(lambda x: x.insert(5, x[5])),
        "file:54: the file was changed after it was written",
    ),
    "another letter": (lambda c: c.replace(b"note 7", b"nota 7"), "file:53: the file was changed"),
    "more after it": (lambda c: c + c, "file:54: there is more after the last line"),
    "a row that is none": (lines_changed(lambda x: x.insert(5, b"[1,\n")), "file:6: this is not a row"),
    "a short row": (
        lines_changed(lambda x: x.insert(5, b"[1]\n")),
        "file:6: expected 2 values of shop.notes, got 1",
    ),
    "of a later version": (
        lambda c: c.replace(b'"version":1', b'"version":2'),
        "file:1: expected version 1 of the format, got 2",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_not_as_it_was_written_is_refused(case: str, content: bytes, pair: Pair) -> None:
    change, message = WRONG[case]
    with pytest.raises(TransferError) as one:
        check_file(io.BytesIO(change(content)), "file")
    assert message in str(one.value)
    with pytest.raises(TransferError):
        pair.target.load(change(content))
    assert pair.target.value("select count(*) from shop.notes") == 0


def test_a_file_with_a_wrong_row_count_in_its_last_line_is_refused(content: bytes) -> None:
    assert b'{"rows":{"shop.notes":50}' in content
    with pytest.raises(TransferError, match="the number of rows is not that"):
        check_file(io.BytesIO(content.replace(b'{"shop.notes":50}', b'{"shop.notes":51}')), "file")


def test_a_file_is_there_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with create_file(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("out.jsonl", b"half and half")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("before", [None, b"as it was"])
def test_nothing_is_left_of_a_file_that_failed(
    error: type[BaseException], before: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "out.jsonl.gz"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(error), create_file(path, overwrite=True) as file:  # noqa: PT012
        file.write(b"half")
        raise error
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({path.name: before} if before else {})


def test_a_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(TransferError, match="the file exists"), create_file(path):
        pytest.fail("it began")
    with create_file(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_file_that_another_made_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with pytest.raises(TransferError, match="the file exists"), create_file(path) as file:  # noqa: PT012
        file.write(b"ours")
        path.write_bytes(b"theirs")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"out.jsonl": b"theirs"}


def test_the_same_content_is_the_same_gzipped_file(tmp_path: Path, content: bytes) -> None:
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        with create_file(tmp_path / name) as file:
            file.write(content)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.jsonl.gz", "two.jsonl.gz"))
    assert one == two
    assert gzip.decompress(one) == content
    with open_file(tmp_path / "one.jsonl.gz") as file:
        assert check_file(file, "file").rows == {"shop.notes": 50}


@pytest.mark.parametrize("cut", [9, 1, -9, -1])
def test_a_gzipped_file_that_is_cut_short_is_refused(cut: int, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.jsonl.gz"
    path.write_bytes(gzip.compress(content)[:cut])
    with pytest.raises(TransferError, match=r"cut short|empty"), open_file(path) as file:
        check_file(file, "file")


def test_a_suffix_that_is_not_known_is_refused(tmp_path: Path) -> None:
    refusal = pytest.raises(TransferError, match=r"\.zst is not written or read here")
    with refusal, create_file(tmp_path / "out.jsonl.zst"):
        pytest.fail("it began")
    assert list(tmp_path.iterdir()) == []


def test_the_header_of_the_file_describes_its_content(content: bytes) -> None:
    header, section, row, *_, end = [json.loads(line) for line in content.splitlines()]
    assert header == {
        "format": "plainsql export",
        "version": 1,
        "server": header["server"],
        "layers": ["shop"],
        "migrations": {},
        "tables": [
            {
                "schema": "shop",
                "name": "notes",
                "columns": [{"name": "id", "type": "integer"}, {"name": "text", "type": "text"}],
            }
        ],
        "sequences": [],
    }
    assert (section, row) == ({"table": "shop.notes"}, [1, "note 1"])
    assert end == {"rows": {"shop.notes": 50}, "sha256": end["sha256"]}
