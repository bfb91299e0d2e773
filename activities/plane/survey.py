"""Showing a whole plane to who judges it, page by page, so that no list of a plane is ever held or kept."""

from typing import Protocol

from activities.plane.closing import closing
from dataplane.plane import Tell, Upkeep
from workflows.shapes import Swept
from workflows.surveys import SurveyPage, Tidings, Verdict

NAMED = 3
"""How many differences the sentence names; the rest is a number."""


class Surveys(Protocol):
    """Who holds a page against the records."""

    async def judge(self, page: SurveyPage) -> Verdict:
        """What differs is entered and its deployments are nudged; returns when that is done, however long
        it takes to be heard."""

    async def conclude(self, tidings: Tidings) -> None:
        """Say what came of a whole pass. Nothing depends on its being heard."""


async def survey(plane: str, upkeep: Upkeep, surveys: Surveys, tell: Tell) -> Swept:
    """One pass over a plane; orphans whose time has come are removed as their page is judged."""
    swept, named = Swept(), list[str]()
    async with closing(upkeep.observe_all()) as pages:
        async for page in pages:
            verdict = await surveys.judge(page)
            swept.deployments += verdict.deployments
            swept.differing += verdict.differing
            swept.orphans += verdict.orphans
            named += verdict.differ[: NAMED - len(named)]
            for orphan in verdict.remove:
                await upkeep.remove_orphan(orphan)
            tell(f"{swept.deployments} deployments seen")
    swept.sentence = sentence(swept, named)
    await surveys.conclude(Tidings(plane=plane, sentence=swept.sentence))
    return swept


def sentence(swept: Swept, named: list[str]) -> str:
    """Such as "412 deployments, 1 differs: my-agent lost a replica"."""
    said = f"{swept.deployments} deployment{'' if swept.deployments == 1 else 's'}, "
    if swept.differing:
        said += f"{swept.differing} differ{'s' if swept.differing == 1 else ''}"
        more = [f"{swept.differing - len(named)} more"] if named and swept.differing > len(named) else []
        said += f": {', '.join(named + more)}" if named else ""
    else:
        said += "none differs"
    if swept.orphans:
        said += f"; {swept.orphans} orphan{'' if swept.orphans == 1 else 's'}"
    return said
