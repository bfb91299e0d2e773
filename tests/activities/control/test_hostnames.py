"""Where a deployment answers: at its plane's own door, and at a hostname of its own that its plane has to hear of."""

from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from activities.control.records import RecordSteps
from records import deployment
from records.deployment import Deployment
from records.session import Sessions
from tests.activities.control.hands import Nobody, a_wish, fresh, outcome
from tests.rows import a_deployment
from workflows.accounts import Finder, Notice
from workflows.shapes import PlaneKind, RevisionStatus

S = RevisionStatus


async def test_a_plane_with_a_door_of_its_own(session: AsyncSession, ledger: Sessions) -> None:
    urls = {"east": "https://east.example/"}
    steps = RecordSteps(ledger, public_url="http://127.0.0.1:4747/", nudge=Nobody(), urls=urls)
    owner = await a_deployment(session, plane="east")
    await session.commit()
    first = await a_wish(session, owner)
    await steps.claim(first)
    await steps.record_outcome(outcome(first, S.DEPLOYED))
    assert (await fresh(session, owner)).url == f"https://east.example/d/{owner.slug}"


class Looks(Nobody):
    """Remembers which planes are to be looked at, and may be away first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.looked: list[UUID] = []

    async def inspect(self, row: Deployment, notice: Notice) -> None:
        assert notice.by is Finder.WORKFLOW
        if self.errors:
            raise self.errors.pop()
        self.looked.append(row.id)


@pytest.mark.parametrize(
    ("custom_url", "kind", "looked"),
    [
        ("https://agent.example", PlaneKind.KUBERNETES, True),
        ("https://agent.example", PlaneKind.LOCAL, False),
        (None, PlaneKind.KUBERNETES, False),
    ],
)
async def test_a_hostname_set_meanwhile_is_heard_of(
    session: AsyncSession, ledger: Sessions, custom_url: str | None, kind: PlaneKind, looked: bool
) -> None:
    looks = Looks()
    steps = RecordSteps(ledger, public_url="http://here", nudge=looks, kinds={"east": kind})
    owner = await a_deployment(session, plane="east")
    await session.commit()
    first = await a_wish(session, owner)
    await steps.claim(first)
    await deployment.patch(session, owner.id, custom_url=custom_url)
    await session.commit()
    await steps.record_outcome(outcome(first, S.DEPLOYED))
    assert looks.looked == ([owner.id] if looked else [])


async def test_it_is_told_until_it_is_heard(session: AsyncSession, ledger: Sessions) -> None:
    looks = Looks(ConnectionError("Temporal is away"))
    kinds = {"east": PlaneKind.KUBERNETES}
    steps = RecordSteps(ledger, public_url="http://here", nudge=looks, kinds=kinds)
    owner = await a_deployment(session, plane="east", custom_url="https://agent.example")
    await session.commit()
    first = await a_wish(session, owner)
    await steps.claim(first)
    with pytest.raises(ConnectionError):
        await steps.record_outcome(outcome(first, S.DEPLOYED))
    assert (await steps.record_outcome(outcome(first, S.DEPLOYED))).status is S.DEPLOYED
    assert looks.looked == [owner.id]
