"""The way to Temporal: one converter for everyone who reads or writes a payload."""

from collections.abc import Sequence

from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import pydantic_data_converter

from settings import Settings


async def connect(settings: Settings, interceptors: Sequence[Interceptor] = ()) -> Client:
    """A client that is connected; raises if Temporal cannot be reached now."""
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=pydantic_data_converter,
        interceptors=list(interceptors),
    )
