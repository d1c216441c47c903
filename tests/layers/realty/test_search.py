"""Search by meaning and by words, on a sample agency of 1,200 homes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asyncpg import DataError

import plainsql
from plainsql import migrate
from plainsql.layers.realty import projects, properties, sample
from plainsql.testing import Migrate
from plainsql.vector import Vector
from plainsql.vector.hashing import embed
from tests.layers.realty.agency import execute, explain, load

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
WISH = "departamento con vista al parque, dos dormitorios, cochera"
FILTERS: dict[str, dict[str, Any]] = {
    "district": {"district": "MIRAFLORES"},
    "type": {"type": "penthouse"},
    "price": {"min_pricing": 90_000, "max_pricing": 120_000},
    "bedrooms": {"min_bedrooms": 3},
    "parking": {"includes_parking": False},
    "all": {
        "district": "Miraflores",
        "type": "departamento",
        "min_pricing": 60_000,
        "max_pricing": 900_000,
        "min_bedrooms": 2,
        "includes_parking": True,
    },
}


def migrate_and_load(url: str) -> None:
    folder = Path(__file__).parents[3] / "migrations"
    # Building an index takes a fraction of the time of inserting the rows one by one.
    migrate.apply(url, folder, layers=["realty"], to="realty/0007")
    load(url, sample.tables(now=NOW, properties=1200, leads=20))
    migrate.apply(url, folder, layers=["realty"])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")


@pytest.fixture(scope="session")
def plainsql_migrate() -> Migrate:
    return migrate_and_load


@asynccontextmanager
async def planning(db: plainsql.Database, *off: str) -> AsyncGenerator[plainsql.Transaction]:
    """A transaction in which the given kinds of plan are disabled."""
    async with db.transaction() as tx:
        for what in off:
            await tx.connection.execute(f"set local enable_{what} = off")
        yield tx


# The settings that leave only the HNSW index for an order by distance, as on a large table.
ALL_BUT_HNSW = ("seqscan", "bitmapscan", "sort")


def fits(home: Any, wish: dict[str, Any]) -> bool:
    return bool(
        home.district.lower() == wish.get("district", home.district).lower()
        and home.type == wish.get("type", home.type)
        and wish.get("min_pricing", 0) <= home.pricing <= wish.get("max_pricing", 10**9)
        and home.typology.num_bedrooms >= wish.get("min_bedrooms", 0)
    )


async def test_the_nearest_in_meaning_comes_first(realty_db: plainsql.Database) -> None:
    found = await properties.search(realty_db, embedding=embed(WISH), limit=10)
    assert len(found) == 10
    assert [home.distance for home in found] == sorted(home.distance for home in found)
    assert {home.type for home in found} == {"departamento"}
    assert sum(home.view_type == "parque" for home in found) >= 8
    assert sum(home.typology.num_bedrooms == 2 for home in found) >= 8


async def test_a_home_finds_itself_at_distance_zero(realty_db: plainsql.Database) -> None:
    (home,) = await properties.list(realty_db, limit=1)
    vector = await properties.get_embedding(realty_db, id=home.id)
    assert vector is not None
    found = await properties.search(realty_db, embedding=vector, limit=1)
    assert [match.id for match in found] == [home.id]
    assert found[0].distance == pytest.approx(0, abs=1e-6)
    assert found[0].title == home.title


async def test_a_question_is_cached_once_for_all_classes_of_vectors(realty_db: plainsql.Database) -> None:
    numpy = pytest.importorskip("numpy")
    numbers = embed(WISH)
    before = realty_db.cache.stats()
    for question in (
        numbers,
        tuple(numbers),
        numpy.array(numbers),
        numpy.array(numbers, "f4"),
        Vector(numbers),
    ):
        assert len(await properties.search(realty_db, embedding=question, limit=7)) == 7
    after = realty_db.cache.stats()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 4)
    await properties.search(realty_db, embedding=[-number for number in numbers], limit=7)
    assert realty_db.cache.stats().misses == after.misses + 1


async def test_five_are_found_by_default(realty_db: plainsql.Database) -> None:
    assert len(await properties.search(realty_db, embedding=embed(WISH))) == 5
    assert len(await projects.search(realty_db, embedding=embed(WISH))) == 5


@pytest.mark.parametrize("name", FILTERS)
async def test_filters_hold_for_all_that_is_found(realty_db: plainsql.Database, name: str) -> None:
    wish = FILTERS[name]
    for found in (
        await properties.search(realty_db, embedding=embed(WISH), limit=20, **wish),
        await properties.search_hybrid(realty_db, embedding=embed(WISH), words="terraza", limit=20, **wish),
    ):
        assert len(found) == 20
        assert all(fits(home, wish) for home in found)


@pytest.mark.parametrize("name", FILTERS)
async def test_the_hnsw_index_serves_every_filter(realty_db: plainsql.Database, name: str) -> None:
    async with planning(realty_db, *ALL_BUT_HNSW) as tx:
        plan = await explain(tx, properties.search, embedding=embed(WISH), limit=20, **FILTERS[name])
    assert "Index Scan using properties_embedding_idx" in plan
    assert "Order By: (embedding <=> " in plan


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filtered_index_scan_continues_until_it_has_enough_rows(
    realty_db: plainsql.Database, name: str
) -> None:
    given: dict[str, Any] = {"embedding": embed(WISH), "limit": 20, **FILTERS[name]}
    async with planning(realty_db, "indexscan") as tx:
        exact = await properties.search(tx, **given)
    async with planning(realty_db, *ALL_BUT_HNSW) as tx:
        found = await properties.search(tx, **given)
    assert len(found) == len(exact) == 20
    near = {home.id for home in exact}
    assert sum(home.id in near for home in found) >= 18
    assert [home.distance for home in found] == sorted(home.distance for home in found)


async def test_a_scan_that_does_not_go_on_would_lose_homes(realty_db: plainsql.Database) -> None:
    # The result of the test above if connections did not set hnsw.iterative_scan.
    async with planning(realty_db, *ALL_BUT_HNSW) as tx:
        await tx.connection.execute("set local hnsw.iterative_scan = off")
        found = await properties.search(tx, embedding=embed(WISH), limit=20, **FILTERS["all"])
    assert len(found) < 20


async def test_the_hnsw_index_serves_projects_with_filters_on_their_homes(
    realty_db: plainsql.Database,
) -> None:
    given: dict[str, Any] = {
        "embedding": embed(WISH),
        "includes_parking": True,
        "type": "departamento",
        "max_pricing": 150_000,
    }
    async with planning(realty_db, *ALL_BUT_HNSW) as tx:
        plan = await explain(tx, projects.search, **given, limit=5)
    assert "Index Scan using projects_embedding_idx" in plan


async def test_a_project_is_found_by_what_one_of_its_homes_is(fresh_realty_db: plainsql.Database) -> None:
    db = fresh_realty_db
    vector = embed("penthouse frente al mar")
    found = await projects.search(
        db, embedding=vector, type="penthouse", max_pricing=600_000, min_bedrooms=4, limit=200
    )
    assert found
    for project in found:
        homes = await properties.list_by_project(db, project_id=project.id, order="cheapest")
        assert any(
            home.type == "penthouse" and home.pricing <= 600_000 and home.typology.num_bedrooms >= 4
            for home in homes
        )
    everything = await projects.search(db, embedding=vector, limit=200)
    assert len(everything) == 30 > len(found)


async def test_a_project_without_homes_is_found_without_conditions_on_homes(
    fresh_realty_db: plainsql.Database,
) -> None:
    db = fresh_realty_db
    project = await projects.create(
        db, name="Zafiro", description="Preventa", district="Lince", includes_parking=True
    )
    vector = embed("Zafiro preventa")
    await projects.set_embedding(db, id=project.id, embedding=vector)
    assert (await projects.search(db, embedding=vector, includes_parking=True))[0].id == project.id
    found = await projects.search(db, embedding=vector, min_pricing=0, limit=200)
    assert project.id not in {match.id for match in found}


async def test_a_row_without_an_embedding_is_found_by_words_only(
    fresh_realty_db: plainsql.Database,
) -> None:
    db = fresh_realty_db
    (home,) = await properties.list(db, limit=1)
    await properties.update(db, id=home.id, description="Con un invernáculo de orquídeas")
    await properties.set_embedding(db, id=home.id, embedding=None)
    found = await properties.search(db, embedding=embed(WISH), limit=200)
    assert home.id not in {match.id for match in found}
    hybrid = await properties.search_hybrid(db, embedding=embed(WISH), words="orquideas")
    assert home.id in {match.id for match in hybrid}


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("habitación", "habitación"),
        ("habitación", "habitacion"),
        ("habitación", "habitaciones"),
        ("habitaciones", "habitación"),
        ("baño", "bano"),
        ("balcones", "balcon"),
        ("área", "AREAS"),
        ("dúplex", "duplex"),
    ],
)
async def test_words_are_found_in_their_forms_and_without_accents(
    fresh_realty_db: plainsql.Database, written: str, asked: str
) -> None:
    async with fresh_realty_db.acquire() as connection:
        assert await connection.fetchval(
            "select realty.spanish_words($1) @@ websearch_to_tsquery('spanish', $2)", written, asked
        )


async def test_words_are_read_as_a_web_search_reads_them(fresh_realty_db: plainsql.Database) -> None:
    db = fresh_realty_db
    await execute(db, "update realty.properties set embedding = null")
    (first, second, third) = await properties.list(db, limit=3)
    await properties.update(db, id=first.id, description="Patio andaluz con azulejos")
    await properties.update(db, id=second.id, description="Patio con azulejos de estilo andaluz")
    await properties.update(db, id=third.id, description="Azulejos en el patio")

    async def found(words: str) -> set[object]:
        return {
            match.id
            for match in await properties.search_hybrid(db, embedding=embed(WISH), words=words, limit=10)
        }

    assert await found("patio azulejos") == {first.id, second.id, third.id}
    assert await found("patio azulejos andaluz") == {first.id, second.id}
    assert await found('"patio andaluz"') == {first.id}
    assert await found("azulejos -andaluz") == {third.id}
    assert await found("el de la") == set()


async def test_a_match_of_both_sides_comes_before_one_of_one_side(
    fresh_realty_db: plainsql.Database,
) -> None:
    db = fresh_realty_db
    nearest = await properties.search(db, embedding=embed(WISH), limit=20)
    chosen = nearest[-1]
    await properties.update(db, id=chosen.id, description="Con un invernáculo")
    found = await properties.search_hybrid(db, embedding=embed(WISH), words="invernáculo", limit=3)
    assert found[0].id == chosen.id
    # Rank 20 (or a few less, had others the same distance) by meaning, rank 1 by words.
    assert found[0].score == pytest.approx(1 / 61 + 1 / 80, rel=0.01)
    assert [found[1].id, found[2].id] == [nearest[0].id, nearest[1].id]
    assert found[1].score == pytest.approx(1 / 61)


async def test_projects_are_found_by_meaning_and_words_together(realty_db: plainsql.Database) -> None:
    found = await projects.search_hybrid(
        realty_db, embedding=embed("edificio con piscina y gimnasio"), words="piscina gimnasio", limit=5
    )
    assert found
    assert "piscina" in found[0].description
    assert "gimnasio" in found[0].description
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)


async def test_the_gin_index_serves_words(realty_db: plainsql.Database) -> None:
    async with planning(realty_db, "seqscan") as tx:
        plan = await explain(
            tx, properties.search_hybrid, embedding=embed(WISH), words="sauna", candidates=50, limit=5
        )
    assert "Bitmap Index Scan on properties_words_idx" in plan


async def test_a_question_of_another_dimension_is_refused(realty_db: plainsql.Database) -> None:
    with pytest.raises(DataError):
        await properties.search(realty_db, embedding=[1.0, 0.0])
