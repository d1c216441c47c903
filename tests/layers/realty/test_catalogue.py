"""Projects, typologies and properties: the homes for sale."""

from __future__ import annotations

import math
import uuid

import pytest
from asyncpg import CheckViolationError, DataError, ForeignKeyViolationError

from plainsql.layers.realty import projects, properties, typologies
from plainsql.vector.hashing import embed
from tests.layers.realty.agency import Agency, execute, pages


async def test_a_project_is_created_read_changed_and_removed(agency: Agency) -> None:
    db = agency.db
    project = await projects.create(
        db,
        name="Mirador",
        description="Un proyecto",
        district="Lince",
        address="Av. Arequipa 100",
        video_url="https://example.com/video",
        includes_parking=True,
    )
    assert (project.address, project.reference, project.includes_parking, project.has_showroom) == (
        "Av. Arequipa 100",
        None,
        True,
        False,
    )
    assert await projects.get_by_id(db, id=project.id) == project
    changed = await projects.update(db, id=project.id, has_showroom=True, address=None)
    assert changed is not None
    assert (changed.has_showroom, changed.address, changed.name) == (True, None, "Mirador")
    assert await projects.delete(db, id=project.id) == 1
    assert await projects.get_by_id(db, id=project.id) is None


async def test_a_typology_is_created_read_changed_and_removed(agency: Agency) -> None:
    db = agency.db
    typology = await typologies.create(db, name="Loft", type="loft", num_bedrooms=0, num_bathrooms=1)
    assert (typology.description, typology.area_m2) == (None, None)
    changed = await typologies.update(db, id=typology.id, area_m2="44")
    assert changed is not None
    assert (changed.area_m2, changed.name) == ("44", "Loft")
    assert await typologies.get_by_id(db, id=typology.id) == changed
    assert await typologies.delete(db, id=typology.id) == 1


async def test_a_property_is_created_read_changed_and_removed(agency: Agency) -> None:
    db = agency.db
    home = await agency.home_with(floor_no="PH", view_type="mar")
    changed = await properties.update(db, id=home.id, pricing=95_000, view_type=None)
    assert changed is not None
    assert (changed.pricing, changed.view_type, changed.floor_no) == (95_000, None, "PH")
    assert await properties.get_by_id(db, id=home.id) == changed
    assert await properties.delete(db, id=home.id) == 1


@pytest.mark.parametrize(
    "values", [{"pricing": -1}, {"title": ""}, {"type": ""}], ids=lambda values: next(iter(values))
)
async def test_a_property_without_price_or_title_is_refused(
    agency: Agency, values: dict[str, object]
) -> None:
    with pytest.raises(CheckViolationError):
        await agency.home_with(**values)


async def test_a_link_is_an_address_of_the_web(agency: Agency) -> None:
    with pytest.raises(CheckViolationError):
        await projects.update(agency.db, id=agency.project.id, video_url="javascript:alert(1)")


async def test_a_typology_in_use_is_not_removed(agency: Agency) -> None:
    with pytest.raises(ForeignKeyViolationError):
        await typologies.delete(agency.db, id=agency.typology.id)


async def test_a_project_takes_its_homes_with_it(agency: Agency) -> None:
    assert await projects.delete(agency.db, id=agency.project.id) == 1
    assert await properties.get_by_id(agency.db, id=agency.home.id) is None


async def test_a_change_by_hand_moves_updated_at_too(agency: Agency) -> None:
    await execute(agency.db, "update realty.properties set floor_no = '4' where id = $1", agency.home.id)
    home = await properties.get_by_id(agency.db, id=agency.home.id)
    assert home is not None
    assert home.updated_at > agency.home.updated_at


async def test_projects_of_a_district_are_found_in_any_letter_case(agency: Agency) -> None:
    project = await projects.create(
        agency.db, name="Kantu", description="Un proyecto", district="Jesús María"
    )
    assert await projects.list(agency.db, district="JESÚS maría") == [project]


async def test_the_homes_of_a_project_come_with_their_typology(agency: Agency) -> None:
    (home,) = await properties.list_by_project(agency.db, project_id=agency.project.id, order="newest")
    assert home.id == agency.home.id
    assert home.typology.id == agency.typology.id
    assert (home.typology.name, home.typology.num_bedrooms) == ("Flat B1", 2)


async def test_the_homes_of_a_project_are_paged_in_both_orders(agency: Agency) -> None:
    db, project = agency.db, agency.project
    for pricing in (300, 100, 200, 100, 100):
        await agency.home_with(pricing=pricing)
    cheapest = [
        home.pricing
        async for home in pages(
            properties.list_by_project, db, "pricing", "id", project_id=project.id, order="cheapest"
        )
    ]
    assert cheapest == [100, 100, 100, 200, 300, 100_000]
    newest = [
        home.pricing
        async for home in pages(
            properties.list_by_project, db, "created_at", "id", project_id=project.id, order="newest"
        )
    ]
    assert newest == [100, 100, 200, 100, 300, 100_000]


@pytest.mark.parametrize("order", ["newest", "cheapest"])
async def test_the_homes_of_a_project_are_read_from_an_index_in_order(agency: Agency, order: str) -> None:
    query = properties.list_by_project
    plan, args = query.compiled.text(
        query.compiled.bind((), {"project_id": agency.project.id, "order": order})
    )
    async with agency.db.transaction() as tx:
        await tx.connection.execute(
            "set local enable_seqscan = off; set local enable_sort = off; set local enable_bitmapscan = off"
        )
        rows = await tx.connection.fetch(f"explain (costs off) {plan.sql}", *args)
    shown = "\n".join(row[0] for row in rows)
    index = {"newest": "created_at", "cheapest": "pricing"}[order]
    assert f"properties_project_id_{index}_idx" in shown
    assert "Sort" not in shown


async def test_an_embedding_is_kept_to_the_last_bit_of_a_float32(agency: Agency) -> None:
    db, home = agency.db, agency.home
    assert await properties.get_embedding(db, id=home.id) is None
    vector = embed("departamento con vista al parque")
    assert await properties.set_embedding(db, id=home.id, embedding=vector) == 1
    kept = await properties.get_embedding(db, id=home.id)
    assert kept is not None
    assert all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(kept.to_list(), vector, strict=True))


async def test_an_embedding_of_another_dimension_is_refused(agency: Agency) -> None:
    with pytest.raises(DataError):
        await properties.set_embedding(agency.db, id=agency.home.id, embedding=[1.0, 0.0])


async def test_setting_the_embedding_of_no_row_changes_nothing(agency: Agency) -> None:
    vector = embed("departamento")
    assert await properties.set_embedding(agency.db, id=uuid.uuid4(), embedding=vector) == 0
    assert await projects.get_embedding(agency.db, id=uuid.uuid4()) is None


async def test_a_row_without_an_embedding_is_listed_with_its_text(agency: Agency) -> None:
    db = agency.db
    home = await agency.home_with(title="Loft con terraza", view_type="mar", description="Frente al mar.")
    waiting = {
        row.id: row.text async for row in pages(properties.list_without_embedding, db, "created_at", "id")
    }
    assert waiting[home.id] == "Loft con terraza. departamento. Frente al mar.. mar. Altamar. Barranco"
    await properties.set_embedding(db, id=home.id, embedding=embed(waiting[home.id]))
    await projects.set_embedding(db, id=agency.project.id, embedding=embed("Altamar"))
    homes = [row.id async for row in pages(properties.list_without_embedding, db, "created_at", "id")]
    assert home.id not in homes
    left = [row.id async for row in pages(projects.list_without_embedding, db, "created_at", "id")]
    assert agency.project.id not in left
    await projects.set_embedding(db, id=agency.project.id, embedding=None)
    left = [row.id async for row in pages(projects.list_without_embedding, db, "created_at", "id")]
    assert agency.project.id in left
