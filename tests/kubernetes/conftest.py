"""The one installation that all journeys share."""

from tests.kubernetes.installed import installed

__all__ = ["installed"]
