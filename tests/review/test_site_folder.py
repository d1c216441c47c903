"""The site's folder: only the command's own files are replaced and removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainsql.errors import FileError
from plainsql.review.site.site_folder import MARKER, check_folder, write_site


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_pages_of_a_former_run_go_and_other_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "site"
    assert write_site(folder, {"a.html": b"1", "q/b.html": b"2", "r/c.html": b"3"}.items()) == 3
    before = (folder / "a.html").stat().st_mtime_ns
    (folder / "q" / "mine.txt").write_text("kept")
    write_site(folder, {"a.html": b"1", "d.html": b"4"}.items())
    assert tree(folder) == {"a.html": b"1", "d.html": b"4", "q/mine.txt": b"kept"}
    assert (folder / "a.html").stat().st_mtime_ns == before  # the same content is not written again
    assert not (folder / "r").exists()


def test_a_folder_of_another_owner_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(FileError, match="did not write"):
        write_site(tmp_path, {"index.html": b"theirs"}.items())
    (tmp_path / MARKER).write_text("something else\n")
    with pytest.raises(FileError, match="is not a marker"):
        write_site(tmp_path, {"index.html": b"theirs"}.items())
    assert tree(tmp_path) == {"index.html": b"mine"}
    with pytest.raises(FileError, match="is no folder"):
        write_site(tmp_path / "index.html", {"index.html": b""}.items())


def test_the_site_of_another_database_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write_site(folder, {"a.html": b"1"}.items(), "alpha")
    for other, shown in (("beta", "the database beta"), ("", "a project with one database")):
        with pytest.raises(FileError, match=f"expected a site of {shown}, got one of the database alpha"):
            write_site(folder, {"a.html": b"2"}.items(), other)
    assert tree(folder) == {"a.html": b"1"}
    write_site(folder, {"b.html": b"2"}.items(), "alpha")
    assert tree(folder) == {"b.html": b"2"}
    # The marker of an earlier version names no database.
    marker = folder / MARKER
    marker.write_text(marker.read_text().replace("database: alpha\n", ""))
    write_site(folder, {"c.html": b"3"}.items(), "beta")
    assert tree(folder) == {"c.html": b"3"}
    with pytest.raises(FileError, match="got one of the database beta"):
        check_folder(folder)


def test_a_file_that_is_in_the_way_of_a_new_page_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write_site(folder, {"a.html": b"1"}.items())
    (folder / "b.html").write_text("mine")
    with pytest.raises(FileError, match=r"b\.html is not a file that plainsql review wrote"):
        write_site(folder, {"a.html": b"2", "b.html": b"2"}.items())
    assert tree(folder) == {"a.html": b"1", "b.html": b"mine"}


def test_a_changed_marker_removes_no_file_outside(tmp_path: Path) -> None:
    folder, outside = tmp_path / "site", tmp_path / "outside.txt"
    outside.write_text("kept")
    write_site(folder, {"a.html": b"1"}.items())
    with (folder / MARKER).open("a") as marker:
        marker.write(f"../outside.txt\n{outside}\n")
    write_site(folder, {"a.html": b"2"}.items())
    assert outside.read_text() == "kept"
