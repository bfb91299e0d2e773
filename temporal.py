"""The way to Temporal: one converter for everyone who reads or writes a payload."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import TLSConfig

from settings import Settings


async def connect(settings: Settings, interceptors: Sequence[Interceptor] = ()) -> Client:
    """A client that is connected; raises if Temporal cannot be reached now."""
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=pydantic_data_converter,
        interceptors=list(interceptors),
        api_key=settings.temporal_api_key.get_secret_value() or None,
        tls=tls(settings),
        runtime=_telling(settings.temporal_metrics) if settings.temporal_metrics else None,
    )


def tls(settings: Settings) -> TLSConfig | bool:
    """How the other side is known, and who we are to it. Files are read anew for every connection, so renewed
    certificates are taken up by a restart and need nothing else."""
    ca, cert, key = settings.temporal_tls_ca, settings.temporal_tls_cert, settings.temporal_tls_key
    if (cert is None) is not (key is None):
        raise ValueError("GRAPHYARD_TEMPORAL_TLS_CERT and GRAPHYARD_TEMPORAL_TLS_KEY belong together")
    if not (ca or cert or settings.temporal_tls_server_name):
        return settings.temporal_tls or bool(settings.temporal_api_key.get_secret_value())
    return TLSConfig(
        server_root_ca_cert=_read(ca),
        client_cert=_read(cert),
        client_private_key=_read(key),
        domain=settings.temporal_tls_server_name or None,
    )


@cache
def _telling(address: str) -> Runtime:
    """One for the process: a second could not listen where the first does."""
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None
