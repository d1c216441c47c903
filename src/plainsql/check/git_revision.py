"""The files of a project at a revision of its git repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from plainsql.errors import SettingsError

__all__ = ["extract_revision"]


def extract_revision(root: Path, revision: str, folders: Sequence[Path], into: Path) -> None:
    """Write the folders of a project as they are at a revision below ``into``, at their paths below ``root``.

    A folder that does not exist at the revision is left out.

    Raises ``SettingsError`` if there is no git repository, or no such revision in it.
    """
    top = _git(root, "rev-parse", "--show-toplevel", failure="the project is in no git repository")
    repository = Path(top.decode().strip())
    commit = _git(
        root,
        *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"),
        failure=f"git knows no revision {revision!r}",
    )
    name = commit.decode().strip()
    for folder in folders:
        below = folder.resolve().relative_to(repository.resolve()).as_posix()
        if not _git(repository, "ls-tree", name, "--", below, failure="git cannot list the revision"):
            continue
        content = _git(repository, "archive", "--format=tar", name, "--", below, failure="git cannot read it")
        _unpack(content, root.resolve().relative_to(repository.resolve()), into)


def _unpack(content: bytes, prefix: Path, into: Path) -> None:
    """Write the plain files of an archive below ``into``, without the folders of ``prefix``."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive.getmembers():
            opened = archive.extractfile(member) if member.isfile() else None
            if opened is None:
                continue
            path = into / Path(member.name).relative_to(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(opened.read())


def _git(folder: Path, *arguments: str, failure: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except FileNotFoundError:
        raise SettingsError("git is not installed", hint="install it, or name the migrations") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SettingsError(
            failure,
            detail=said[-1] if said else None,
            hint="name a branch, a tag or a commit that is fetched: git fetch origin main",
        )
    return done.stdout
