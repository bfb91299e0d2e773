"""Uploads: a path is good for the deployment it was issued for, and what was stored never changes."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import upload
from records.base import now
from records.upload import AlreadyStored, UploadState
from tests.rows import a_deployment, an_upload


async def test_issued_then_stored(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    row = await upload.issue(session, owner.id, now() + timedelta(hours=1))
    assert (row.state, row.size, row.sha256) == (UploadState.ISSUED, None, None)
    await upload.store(session, row.id, size=3, sha256="abc")
    found = await upload.find(session, owner.id, row.object_path)
    assert found is not None
    assert (found.state, found.size, found.sha256) == (UploadState.STORED, 3, "abc")


async def test_the_same_bytes_again_are_welcome_others_are_not(session: AsyncSession) -> None:
    row = await upload.issue(session, (await a_deployment(session)).id, now())
    await upload.store(session, row.id, size=3, sha256="abc")
    assert await upload.store(session, row.id, size=3, sha256="abc") is row
    with pytest.raises(AlreadyStored):
        await upload.store(session, row.id, size=3, sha256="def")
    assert row.sha256 == "abc"


async def test_a_path_of_another_deployment_is_not_found(session: AsyncSession) -> None:
    mine, other = await a_deployment(session), await a_deployment(session)
    row = await an_upload(session, other)
    assert await upload.find(session, mine.id, row.object_path) is None
    assert await upload.find(session, mine.id, "../../etc/passwd") is None
    assert await upload.store(session, uuid4(), size=1, sha256="x") is None


async def test_bytes_without_a_row_are_told(session: AsyncSession) -> None:
    row = await an_upload(session, await a_deployment(session))
    lost = uuid4()
    assert await upload.without_row(session, [row.id, lost]) == {lost}
