"""The steps there are, declared once: `activities/` does them, the type checker holds both sides to this.

Two sides. Control steps read and write the records and run on the queue `control`. Plane steps touch one
data plane, get everything they need as input and never see the records; they run on that plane's queue.
Every step may run twice, or overlap its own ghost: natural keys make that harmless.
"""

from abc import ABC, abstractmethod
from datetime import timedelta
from uuid import UUID

from temporalio import activity
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig

from workflows.accounts import Account, Sighted
from workflows.mending import Repair
from workflows.names import plane_queue
from workflows.shapes import Built, Image, Intent, Keep, Outcome, Plan, Progress, Removed, Swept, Wish


class ControlSteps(ABC):
    """What is read from and written to the records."""

    @activity.defn
    @abstractmethod
    async def read_intent(self, deployment_id: UUID) -> Intent:
        """The newest wish on record. An unknown id reads as deleted."""

    @activity.defn
    @abstractmethod
    async def claim(self, wish: Wish) -> None:
        """Take a revision on: it leaves CREATING, older open ones become SKIPPED, and everything it will
        own is entered in the inventory before any of it is made."""

    @activity.defn
    @abstractmethod
    async def advance(self, progress: Progress) -> None:
        """Write a revision's next status, never a step backwards and never past an end."""

    @activity.defn
    @abstractmethod
    async def record_databases(self, wish: Wish) -> None:
        """The databases exist: the deployment is READY."""

    @activity.defn
    @abstractmethod
    async def record_image(self, built: Built) -> None:
        """The image exists: name it on the revision, which becomes AWAITING_DEPLOY."""

    @activity.defn
    @abstractmethod
    async def record_outcome(self, outcome: Outcome) -> Outcome:
        """The last word on a revision. A rollout that was given up becomes INTERRUPTED when a person asked
        for that and SKIPPED otherwise; the answer is the outcome as it now stands on record."""

    @activity.defn
    @abstractmethod
    async def record_retired(self, wish: Wish) -> None:
        """Every process of a revision older than this one is gone."""

    @activity.defn
    @abstractmethod
    async def record_removed(self, removed: Removed) -> None:
        """The plane showed itself empty: the deployment's records go."""

    @activity.defn
    @abstractmethod
    async def images_to_keep(self, plane: str) -> Keep:
        """What a collection on that plane must spare: the last ten per deployment, and all in flight."""

    @activity.defn
    @abstractmethod
    async def nudge_unattended(self, plane: str) -> Swept:
        """Find wishes that nobody acted on, and rollouts that nobody runs any more; nudge their deployments."""

    @activity.defn
    @abstractmethod
    async def account(self, account: Account) -> None:
        """Write down what differs, what was done about it and how the deployment stands; what differed and
        does not any more is closed."""


class PlaneSteps(ABC):
    """What is done on one data plane."""

    @activity.defn
    @abstractmethod
    async def preflight(self, wish: Wish) -> Plan:
        """Refuse within seconds what cannot become an image; nothing is built or installed."""

    @activity.defn
    @abstractmethod
    async def build(self, wish: Wish) -> Image:
        """Make the image, or find it: the same source and lock are never built twice."""

    @activity.defn
    @abstractmethod
    async def provision(self, wish: Wish) -> None:
        """Database, role and Redis: made, or found by name and put right."""

    @activity.defn
    @abstractmethod
    async def apply(self, wish: Wish) -> None:
        """Start this revision's replicas beside those that serve. They take no traffic and no runs yet."""

    @activity.defn
    @abstractmethod
    async def await_ready(self, wish: Wish) -> None:
        """Wait while there is progress; refuse at once what cannot heal, with a dead server's last lines."""

    @activity.defn
    @abstractmethod
    async def prove(self, wish: Wish) -> None:
        """Show on every new replica that database, version and each declared graph answer."""

    @activity.defn
    @abstractmethod
    async def switch(self, wish: Wish) -> None:
        """Let the gateway lead to this revision and its replicas take runs; prove it through the gateway."""

    @activity.defn
    @abstractmethod
    async def retire(self, wish: Wish) -> None:
        """Drain and end every replica of an older revision: runs get their grace, the rest is handed over."""

    @activity.defn
    @abstractmethod
    async def discard(self, wish: Wish) -> None:
        """Take back this revision's replicas, which never served."""

    @activity.defn
    @abstractmethod
    async def remove(self, wish: Wish) -> Removed:
        """Take everything of the deployment away, then look, and say what is left (nothing, when done)."""

    @activity.defn
    @abstractmethod
    async def collect_images(self, keep: Keep) -> int:
        """Remove images nobody may need; the number removed."""

    @activity.defn
    @abstractmethod
    async def sight(self, wish: Wish) -> Sighted:
        """Look at everything a deployment has here, as deep as it goes; changes nothing."""

    @activity.defn
    @abstractmethod
    async def repair(self, repair: Repair) -> None:
        """Do these treatments in their order, and return once what they should bring about is there, or is
        not to be had within the usual patience. No revision is made."""

    @activity.defn
    @abstractmethod
    async def survey(self, plane: str) -> Swept:
        """Show the control plane everything there is here, page by page, and remove the orphans it names."""

    @activity.defn
    @abstractmethod
    async def watch(self, plane: str) -> None:
        """Follow the plane and notify the deployments concerned of every change that is not our own doing.
        Ends by itself after a while, so that a history stays small; whoever runs it begins it again."""


def quick(summary: str, limit: timedelta = timedelta(seconds=10)) -> ActivityConfig:
    """For a step that answers at once: a row written, a link renamed."""
    return ActivityConfig(
        summary=summary,
        start_to_close_timeout=limit,
        retry_policy=RetryPolicy(
            initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30)
        ),
    )


def patient(summary: str, limit: timedelta = timedelta(hours=6)) -> ActivityConfig:
    """For a step that waits on the world, and says often that it still does."""
    return ActivityConfig(
        summary=summary,
        start_to_close_timeout=limit,
        heartbeat_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30)
        ),
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def on_plane(
    plane: str,
    summary: str,
    *,
    within: timedelta | None = None,
    begun_within: timedelta | None = None,
    retry: RetryPolicy | None = None,
) -> ActivityConfig:
    """A patient step on a plane's queue; `within` is for what is not worth more time than that in all, and
    `begun_within` for what is not worth waiting for a plane that is away."""
    config: ActivityConfig = {
        **patient(summary),
        "task_queue": plane_queue(plane),
        "schedule_to_close_timeout": within,
        "schedule_to_start_timeout": begun_within,
    }
    return {**config, "retry_policy": retry} if retry else config
