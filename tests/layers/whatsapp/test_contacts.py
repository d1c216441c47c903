"""Contacts, media files and templates: created once and saved again."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncpg import CheckViolationError, StringDataRightTruncationError, UniqueViolationError

from plainsql.layers.whatsapp import contacts, media_files, message_templates, messages
from tests.layers.whatsapp.business import PHONE, Business


async def test_a_contact_is_found_by_id_and_by_phone(business: Business) -> None:
    contact = business.contact
    assert (contact.display_name, contact.is_blocked, contact.last_seen) == ("Ana", False, None)
    assert await contacts.get_by_id(business.db, id=contact.id) == contact
    assert await contacts.get_by_phone(business.db, phone_number=PHONE) == contact
    assert await contacts.get_by_phone(business.db, phone_number="1") is None


async def test_a_number_is_one_contact_of_a_tenant(business: Business) -> None:
    with pytest.raises(UniqueViolationError, match="contacts_phone_number_key"):
        await contacts.create(business.db, phone_number=PHONE)


async def test_a_number_is_neither_empty_nor_longer_than_any(business: Business) -> None:
    with pytest.raises(CheckViolationError):
        await contacts.create(business.db, phone_number="")
    with pytest.raises(StringDataRightTruncationError):
        await contacts.create(business.db, phone_number="5" * 21)


async def test_saving_a_contact_again_changes_what_is_given_and_forgets_nothing(business: Business) -> None:
    seen = datetime(2026, 11, 1, tzinfo=UTC)
    first = await contacts.save(
        business.db, phone_number="51911", display_name="Luis", profile_pic_url="https://x", last_seen=seen
    )
    again = await contacts.save(business.db, phone_number="51911", display_name="Luis Alberto")
    assert again.id == first.id
    assert (again.display_name, again.profile_pic_url, again.last_seen) == ("Luis Alberto", "https://x", seen)
    late = await contacts.save(business.db, phone_number="51911", last_seen=seen - timedelta(days=1))
    assert late.last_seen == seen


async def test_concurrent_saves_of_a_contact_are_one_row(business: Business) -> None:
    saved = await asyncio.gather(*(contacts.save(business.db, phone_number="51922") for _ in range(10)))
    assert len({contact.id for contact in saved}) == 1


async def test_update_changes_only_the_given_columns(business: Business) -> None:
    changed = await contacts.update(business.db, id=business.contact.id, profile_pic_url="https://y")
    assert changed is not None
    assert (changed.profile_pic_url, changed.display_name) == ("https://y", "Ana")
    assert changed.updated_at > business.contact.updated_at
    assert await contacts.update(business.db, id=uuid.uuid4(), display_name="?") is None


async def test_a_contact_is_blocked_and_unblocked(business: Business) -> None:
    blocked = await contacts.block(business.db, id=business.contact.id)
    assert blocked is not None
    assert blocked.is_blocked
    unblocked = await contacts.unblock(business.db, id=business.contact.id)
    assert unblocked is not None
    assert not unblocked.is_blocked
    assert await contacts.block(business.db, id=uuid.uuid4()) is None


async def test_last_seen_only_moves_forward(business: Business) -> None:
    now = await contacts.touch_last_seen(business.db, id=business.contact.id)
    assert now is not None
    assert now.last_seen is not None
    late = await contacts.touch_last_seen(
        business.db, id=business.contact.id, seen_at=now.last_seen - timedelta(hours=1)
    )
    assert late is not None
    assert late.last_seen == now.last_seen


async def test_messages_outlive_their_contact_and_their_file(business: Business) -> None:
    media = await media_files.create(business.db, whatsapp_media_id="m9", file_type="image/jpeg")
    message = await business.received(contact_id=business.contact.id, media_id=media.id)
    assert await contacts.delete(business.db, id=business.contact.id) == 1
    assert await media_files.delete(business.db, id=media.id) == 1
    left = await messages.get_by_id(business.db, id=message.id)
    assert left is not None
    assert (left.contact_id, left.media_id, left.phone_number) == (None, None, PHONE)


async def test_a_file_is_saved_twice_and_kept_once(business: Business) -> None:
    first = await media_files.save(
        business.db, whatsapp_media_id="m1", file_type="image/jpeg", file_name="a.jpg", file_size=2**40
    )
    again = await media_files.save(
        business.db, whatsapp_media_id="m1", file_type="image/jpeg", storage_url="s3://files/a"
    )
    assert again.id == first.id
    assert (again.file_name, again.file_size, again.storage_url) == ("a.jpg", 2**40, "s3://files/a")
    assert await media_files.get_by_whatsapp_media_id(business.db, whatsapp_media_id="m1") == again
    changed = await media_files.update(business.db, id=first.id, file_name="b.jpg")
    assert changed is not None
    assert (changed.file_name, changed.storage_url) == ("b.jpg", "s3://files/a")
    with pytest.raises(UniqueViolationError):
        await media_files.create(business.db, whatsapp_media_id="m1", file_type="image/jpeg")
    with pytest.raises(CheckViolationError):
        await media_files.create(business.db, file_type="image/jpeg", file_size=-1)


async def test_files_that_are_not_uploaded_yet_have_no_id_and_do_not_collide(business: Business) -> None:
    one = await media_files.create(business.db, file_type="image/png")
    other = await media_files.create(business.db, file_type="image/png")
    assert one.id != other.id


async def test_a_template_is_one_for_each_name_and_language(business: Business) -> None:
    given: dict[str, Any] = {"name": "bienvenida", "category": "utility", "body": "Hola {{1}}"}
    spanish = await message_templates.save(business.db, language="es", **given)
    english = await message_templates.save(business.db, language="en_US", **given)
    assert spanish.id != english.id
    assert spanish.status == "pending"
    approved = await message_templates.save(business.db, language="es", status="approved", **given)
    assert (approved.id, approved.status) == (spanish.id, "approved")
    assert await message_templates.get(business.db, name="bienvenida", language="es") == approved
    assert await message_templates.get(business.db, name="bienvenida", language="pt_BR") is None
    assert await message_templates.list(business.db, status="approved") == [approved]
    changed = await message_templates.update(business.db, id=english.id, body="Hi {{1}}")
    assert changed is not None
    assert (changed.body, changed.category) == ("Hi {{1}}", "utility")
    with pytest.raises(UniqueViolationError):
        await message_templates.create(business.db, language="es", **given)
    assert await message_templates.delete(business.db, id=english.id) == 1


@pytest.mark.parametrize("values", [{"category": "spam"}, {"status": "lost"}, {"name": ""}, {"language": ""}])
async def test_a_template_that_whatsapp_does_not_know_of_is_refused(
    business: Business, values: dict[str, str]
) -> None:
    given: Any = {"name": "x", "language": "es", "category": "utility", "body": "Hola", **values}
    with pytest.raises(CheckViolationError):
        await message_templates.save(business.db, **given)
    with pytest.raises(CheckViolationError):
        await message_templates.create(business.db, **given)


async def test_frequent_reads_are_cached() -> None:
    for query in (contacts.get_by_phone, message_templates.get):
        path = query.file
        assert "\n-- cache: 5m\n" in (await asyncio.to_thread(_read, path))


def _read(path: str) -> str:
    from pathlib import Path

    return (Path(__file__).parents[3] / path).read_text("utf-8")
