"""What Prometheus is told: one registry an app, so that two apps in one process do not add up."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "graphyard_"
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)

OVER = ("plane", "window")


class Meters:
    """All that is counted and timed here; the route is the path's template, never the path."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            f"{PREFIX}requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            f"{PREFIX}request_seconds",
            "Seconds until the first byte of an answer.",
            ["method", "route"],
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.uploaded = Counter(
            f"{PREFIX}uploaded_bytes", "Bytes of archives taken in.", registry=self.registry
        )
        self.nudges_failed = Counter(
            f"{PREFIX}nudges_failed",
            "Nudges that did not reach Temporal; the sweep makes up.",
            registry=self.registry,
        )
        self.deployments = Gauge(f"{PREFIX}deployments", "Deployments.", ["status"], registry=self.registry)
        self.revisions = Gauge(f"{PREFIX}revisions", "Revisions.", ["status"], registry=self.registry)
        self.database_up = Gauge(
            f"{PREFIX}database_up", "Whether the database answers.", registry=self.registry
        )
        self.temporal_up = Gauge(
            f"{PREFIX}temporal_up", "Whether Temporal was reached.", registry=self.registry
        )
        self.plane_up = Gauge(
            f"{PREFIX}plane_up", "Whether a plane's worker is heard of.", ["plane"], registry=self.registry
        )
        self.orphans = Gauge(
            f"{PREFIX}orphans", "Things of ours that no deployment owns.", ["plane"], registry=self.registry
        )
        self.drift_open = Gauge(
            f"{PREFIX}drift_open",
            "Differences that are there now.",
            ["plane", "field"],
            registry=self.registry,
        )
        self.drift_found = Gauge(
            f"{PREFIX}drift_found", "Differences found, by window.", OVER, registry=self.registry
        )
        self.drift_repaired = Gauge(
            f"{PREFIX}drift_repaired", "Differences repaired, by window.", OVER, registry=self.registry
        )
        self.drift_detected = Gauge(
            f"{PREFIX}drift_detect_seconds",
            "From a difference's beginning until it was noticed.",
            [*OVER, "quantile"],
            registry=self.registry,
        )
        self.drift_mended = Gauge(
            f"{PREFIX}drift_repair_seconds",
            "From a repaired difference's beginning to its end.",
            [*OVER, "quantile"],
            registry=self.registry,
        )
