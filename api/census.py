"""What the records count, for Prometheus: asked at each scrape, so it survives restarts and is the same from
every api. What is counted over time is told over windows, for records are not kept for ever.
"""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from api.drift import scores
from api.meters import Meters
from api.standing import Span
from records import deployment, drift, orphan, plane, revision
from workflows.drift import Field
from workflows.shapes import DeploymentStatus, RevisionStatus


@dataclass(frozen=True)
class Census:
    """One count of everything."""

    deployments: dict[DeploymentStatus, int]
    revisions: dict[RevisionStatus, int]
    planes: list[plane.Plane]
    open: dict[tuple[str, Field], int]
    orphans: dict[str, int]
    scores: dict[str, dict[Span, drift.Score]]
    """By plane."""


async def take(session: AsyncSession) -> Census:
    planes = await plane.all_of(session)
    differing: dict[tuple[str, Field], int] = {}
    for (name, field, _), count in (await drift.counts(session)).items():
        differing[name, field] = differing.get((name, field), 0) + count
    return Census(
        deployments=await deployment.counts(session),
        revisions=await revision.counts(session),
        planes=planes,
        open=differing,
        orphans=await orphan.counts(session),
        scores={one.name: await scores(session, plane_name=one.name) for one in planes},
    )


def show(census: Census, meters: Meters) -> None:
    """Bring the gauges to what was counted; what is not there any more is a zero, not the last that was."""
    for status in DeploymentStatus:
        meters.deployments.labels(status).set(census.deployments.get(status, 0))
    for open_status in revision.OPEN:
        meters.revisions.labels(open_status).set(census.revisions.get(open_status, 0))
    for one in census.planes:
        meters.plane_up.labels(one.name).set(one.offline_since is None)
        meters.orphans.labels(one.name).set(census.orphans.get(one.name, 0))
        for field in Field:
            meters.drift_open.labels(one.name, field).set(census.open.get((one.name, field), 0))
        for span, score in census.scores[one.name].items():
            meters.drift_found.labels(one.name, span).set(score.found)
            meters.drift_repaired.labels(one.name, span).set(score.repaired)
    # Where nothing was measured there is no time, and none of before.
    meters.drift_detected.clear()
    meters.drift_mended.clear()
    for name, windows in census.scores.items():
        for span, score in windows.items():
            for gauge, quantile, seconds in (
                (meters.drift_detected, "0.5", score.detected_p50),
                (meters.drift_detected, "0.95", score.detected_p95),
                (meters.drift_mended, "0.5", score.repaired_p50),
                (meters.drift_mended, "0.95", score.repaired_p95),
            ):
                if seconds is not None:
                    gauge.labels(name, span, quantile).set(seconds)
