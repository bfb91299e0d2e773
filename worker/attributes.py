"""The search attributes that our workflows carry: a Temporal that does not know them refuses every start.

The embedded server is started with them. A cluster of the operator's gets them here, where it lets us; Temporal Cloud
takes them from its own console only, so there a missing one is told by name.
"""

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.names import SEARCH_ATTRIBUTES

log = structlog.get_logger()


async def see_to_attributes(client: Client) -> list[str]:
    """Make those that are missing, and say which; what is not to be had is logged, and does not stop a worker."""
    operator, missing = client.operator_service, [one.name for one in SEARCH_ATTRIBUTES]
    try:
        known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
        missing = [name for name in missing if name not in known.custom_attributes]
        if missing:
            keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            made = AddSearchAttributesRequest(
                namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
            )
            await operator.add_search_attributes(made)
            log.info("search attributes made", names=missing)
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return []
        log.warning(
            "search attributes not seen to: make them as Keyword", names=missing, error=error.status.name
        )
        return []
    return missing
