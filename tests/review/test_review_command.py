"""``plainsql review``: the folder that it writes, the server on this machine, and what it refuses."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from plainsql.cli.app import main
from plainsql.review.model.sheets import Review


def test_review_serves_its_pages_to_this_machine_until_ctrl_c(
    shop: Path, shop_review: Review, shop_server: str, tmp_path: Path
) -> None:
    # The checks and the plans of `shop_review` are kept.
    process = subprocess.Popen(
        [sys.executable, "-m", "plainsql", "review", "-o", str(tmp_path / "site"), "--serve", "--port", "0"],
        cwd=shop,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first, second, address = (process.stdout.readline() for _ in range(3))
    try:
        assert first.startswith(f"{len(shop_review.queries)} queries on "), process.communicate(timeout=60)
        assert second.startswith("open ")
        url = urlsplit(address.split()[0])
        assert url.hostname == "127.0.0.1"
        server = http.client.HTTPConnection("127.0.0.1", url.port or 0, timeout=30)
        for path, host, status in (
            *(("/", f"127.0.0.1:{url.port}", 200), ("/queries/leads.get.html", f"localhost:{url.port}", 200)),
            *(("/../pyproject.toml", "localhost", 404), ("/queries/none.html", "localhost", 404)),
            ("/", "example.org", 404),  # a name of another site that leads to this machine
        ):
            server.putrequest("GET", path, skip_host=True)
            server.putheader("Host", host)
            server.endheaders()
            answer = server.getresponse()
            body = answer.read()
            assert answer.status == status, (path, host)
            file = path.lstrip("/") or "index.html"
            assert status == 404 or body == (tmp_path / "site" / file).read_bytes()
        server.close()
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out.strip(), err) == (0, "", "")


def test_review_writes_the_changes_as_markdown_next_to_the_site(
    shop: Path,
    shop_review: Review,
    shop_server: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if shop_review.changes is None:
        pytest.skip("git is not installed")
    target = tmp_path / "site"
    words = ["-o", str(target), "--since", "HEAD~1", "--format", "markdown", "--no-plans"]
    assert main(["-C", str(shop), "review", *words]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("<!-- plainsql review -->")
    assert "migrations/0002_seen_at.sql" in out
    assert "queries on" in err
    assert (target / "changes.html").is_file()
    assert "<h2>Plans</h2>" not in (target / "queries/leads.get.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "review: expected a folder to write, got nothing"),
        (["--format", "markdown"], "--format markdown: expected --since with it, got none"),
        # Before the analyses, which need a server.
        (["-o", "pyproject.toml"], "pyproject.toml is no folder"),
    ],
)
def test_review_refuses_what_makes_no_sense(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", f"postgresql:///none?host={tmp_path}")
    (tmp_path / "pyproject.toml").write_text("[tool.plainsql]\n")
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/one.sql").write_text("-- returns: value\nselect 1\n")
    assert main(["review", *arguments]) == 2
    assert message in capfd.readouterr().err


SITE = Path(__file__).parents[2] / "build" / "review"


@pytest.mark.skipif(
    not os.environ.get("PLAINSQL_REVIEW_SITE"),
    reason="`make review` builds the site of plainsql's own queries",
)
def test_the_site_of_all_layers_is_small_and_opens() -> None:
    from tests.chromium import chromium

    files = [path for path in SITE.rglob("*") if path.is_file()]
    queries = sorted((SITE / "queries").glob("*.*.html"))
    assert len(queries) >= 293
    assert sum(path.stat().st_size for path in files) <= 15_000_000 * len(queries) / 300
    assert shutil.which("git") is None or "Last change" in queries[0].read_text("utf-8")
    with chromium() as browser:
        for page in (SITE / "index.html", SITE / "matrix.html", *queries[::40]):
            for width in (400, 1600):
                browser.resize(width)
                browser.open(page.as_uri())
                overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert browser.evaluate(overflow) == 0, (page, width)
        browser.type("/realty leads get_by_id")
        browser.follow("Enter")
        assert browser.evaluate("document.title").startswith("realty.leads.get_by_id")
        assert browser.errors == []
        assert [url for url in browser.requests if not url.startswith(SITE.as_uri())] == []
