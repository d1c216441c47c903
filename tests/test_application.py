"""Applications that share a Redis are kept apart without a word; processes of one application agree."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

import plainsql
import plainsql.sync
from plainsql.application import application_name, cache_namespace, redis_prefix, tenant_settings
from plainsql.errors import OptionError, PlainsqlError, SettingsError
from plainsql.layers.marketplace.limits import RateLimits
from plainsql.layers.marketplace.states import BotSessions
from plainsql.layers.whatsapp.chats import ChatSessions
from plainsql.limits import Limits
from plainsql.sessions import Sessions


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of two projects; nothing else names an application."""
    monkeypatch.delenv("PLAINSQL_APPLICATION", raising=False)
    monkeypatch.delenv("PLAINSQL_CACHE_PREFIX", raising=False)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(
            f"[project]\nname = 'shop-{name}-{uuid4().hex[:8]}'\n"
        )
    return tmp_path / "one", tmp_path / "two"


async def test_two_projects_share_no_sessions_and_no_counts(
    projects: tuple[Path, Path], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = projects
    monkeypatch.chdir(one)
    async with (
        Sessions(redis_url, list[str], deadline=30) as sessions,
        Sessions(redis_url, list[str], deadline=30) as same,
        Limits(redis_url, deadline=30) as limits,
        ChatSessions(redis_url, deadline=30) as chats,
        BotSessions(redis_url, deadline=30) as bots,
        RateLimits(redis_url, deadline=30) as rates,
    ):
        session = await sessions.create("ana", ["admin"])
        await bots.open("bot")
        chat = uuid4(), uuid4(), "+34600000000"
        await chats.get_or_begin(*chat)
        assert not await rates.is_rate_limited("ana", 1, 3600)
        assert await limits.bucket("b", rate=1, per=3600).consume("ana")
        assert await same.get(session.id) == session, "another process of the application"
        monkeypatch.chdir(two)
        async with (
            Sessions(redis_url, list[str], deadline=30) as other,
            Limits(redis_url, deadline=30) as others,
            ChatSessions(redis_url, deadline=30) as talks,
            BotSessions(redis_url, deadline=30) as robots,
            RateLimits(redis_url, deadline=30) as shares,
        ):
            assert await other.get(session.id) is None
            assert await other.list_by_user("ana") == []
            assert await other.expire_all("ana") == 0
            assert await others.bucket("b", rate=1, per=3600).consume("ana")
            assert await talks.get(*chat) is None
            assert await robots.get("bot") is None
            assert not await shares.is_rate_limited("ana", 1, 3600)
        assert await sessions.get(session.id) == session
        assert await rates.is_rate_limited("ana", 1, 3600)


def test_the_nearest_name_wins(projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = projects
    monkeypatch.chdir(one)
    assert application_name().startswith("shop-one-")
    (one / "pyproject.toml").write_text(
        "[project]\nname = 'x'\n[tool.plainsql]\napplication = 'My_Shop.Web'\n"
    )
    assert application_name() == "my-shop-web"
    assert redis_prefix(None, "sessions") == "my-shop-web:sessions"
    monkeypatch.setenv("PLAINSQL_APPLICATION", "worker")
    assert application_name() == "worker"
    assert redis_prefix("mine", "sessions") == "mine"


def test_without_a_name_nothing_is_shared_by_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLAINSQL_APPLICATION", raising=False)
    monkeypatch.chdir(tmp_path)
    assert not any((folder / "pyproject.toml").exists() for folder in tmp_path.parents)
    for make in (lambda: Limits("redis://"), lambda: Sessions("redis://", int)):
        with pytest.raises(SettingsError, match="the application has no name") as raised:
            make()
        assert "PLAINSQL_APPLICATION" in (raised.value.hint or "")
    Limits("redis://", prefix="limits")
    Sessions("redis://", int, prefix="sessions")


@pytest.mark.parametrize("name", ["a b", "{x}", "-", "x" * 65, "ñ", "a:b"])
def test_a_name_that_would_be_no_key_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINSQL_APPLICATION", name)
    with pytest.raises(SettingsError, match="PLAINSQL_APPLICATION: expected letters"):
        application_name()


@pytest.mark.parametrize("prefix", ["", "a{b}", "a\n", "\ud800", "x" * 129, 5, b"x"])
def test_a_prefix_that_would_be_no_key_is_refused(prefix: object) -> None:
    for make in (
        lambda: Limits("redis://", prefix=prefix),  # type: ignore[arg-type]
        lambda: Sessions("redis://", int, prefix=prefix),  # type: ignore[arg-type]
    ):
        with pytest.raises(OptionError, match="prefix: expected"):
            make()


def test_the_cache_is_told_apart_by_a_prefix_of_its_own(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = projects
    monkeypatch.chdir(one)
    assert cache_namespace(None) == "", "programs with other names may write to the same database"
    with (one / "pyproject.toml").open("a") as file:
        file.write("[tool.plainsql]\ncache_prefix = 'staging'\n")
    assert cache_namespace(None) == "staging"
    monkeypatch.setenv("PLAINSQL_CACHE_PREFIX", "production")
    assert cache_namespace(None) == "production"
    assert cache_namespace("mine") == "mine"
    with pytest.raises(PlainsqlError, match="cache_prefix: expected"):
        cache_namespace("a{b")


@pytest.fixture
def tenant_names(projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pyproject.toml of a project with settings of its own, in which the test works."""
    one, _ = projects
    monkeypatch.chdir(one)
    for name in ("PLAINSQL_TENANT_SETTING", "PLAINSQL_USER_SETTING"):
        monkeypatch.delenv(name, raising=False)
    return one / "pyproject.toml"


def write_settings(file: Path, tenant: str, user: str) -> None:
    file.write_text(f"[tool.plainsql]\ntenant_setting = {tenant!r}\nuser_setting = {user!r}\n")


def test_the_nearest_name_of_a_tenants_setting_wins(
    tenant_names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tenant_settings() == ("app.jwt_tenant", "app.jwt_user")
    write_settings(tenant_names, "shop.tenant", "shop.user")
    assert tenant_settings() == ("shop.tenant", "shop.user")
    monkeypatch.setenv("PLAINSQL_TENANT_SETTING", "env.tenant")
    assert tenant_settings() == ("env.tenant", "shop.user")
    monkeypatch.setenv("PLAINSQL_USER_SETTING", "env.user")
    assert tenant_settings("connect", None, "option.user") == ("env.tenant", "option.user")
    assert tenant_settings("connect", "option.tenant") == ("option.tenant", "env.user")


@pytest.mark.parametrize("name", ["tenant", ".x", "a b.c", "app.", "x'; drop.table"])
def test_a_name_that_no_setting_can_have_is_refused_with_its_place(
    tenant_names: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tenant_names.write_text(f'[tool.plainsql]\ntenant_setting = "{name}"\n')
    with pytest.raises(OptionError, match=r"^tenant_setting in \[tool.plainsql\]: expected a name"):
        tenant_settings()
    monkeypatch.setenv("PLAINSQL_TENANT_SETTING", name)
    with pytest.raises(OptionError, match=r"^PLAINSQL_TENANT_SETTING: expected a name with a dot"):
        tenant_settings()


def test_one_setting_cannot_hold_the_tenant_and_the_user(
    tenant_names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAINSQL_TENANT_SETTING", "app.jwt_user")
    with pytest.raises(OptionError, match=r"^user_setting: expected another one than tenant_setting"):
        tenant_settings()
    with pytest.raises(OptionError, match=r"^sync.connect\(\): user_setting: expected another one"):
        plainsql.sync.connect("postgresql://")
    with pytest.raises(OptionError, match=r"^connect\(\): user_setting: expected another one"):
        plainsql.connect("postgresql://")


async def test_connect_takes_the_names_of_the_project(tenant_names: Path, database_url: str) -> None:
    write_settings(tenant_names, "shop.tenant", "shop.user")
    query = "select current_setting('shop.tenant') || ' ' || current_setting('shop.user')"
    async with (
        plainsql.connect(database_url) as db,
        db.tenant("acme", user_id="ana").acquire() as connection,
    ):
        assert await connection.fetchval(query) == "acme ana"
    with plainsql.sync.connect(database_url) as sync, sync.tenant("acme", user_id="ana").transaction() as tx:
        assert tx.connection.execute(query.encode()).fetchall() == [("acme ana",)]
