"""Addresses of inbound webhooks. The deliveries to them are in `db/queries/inbound_deliveries.py`."""

from uuid import UUID

from db.models import WebhookEndpoint
from db.tenancy import TenantRepository


class WebhookEndpointRepository(TenantRepository[WebhookEndpoint]):
    model_type = WebhookEndpoint

    async def of_workflow(self, workflow_id: UUID) -> dict[str, WebhookEndpoint]:
        """The webhook URLs of a workflow by trigger key."""
        endpoints = await self.get_many(WebhookEndpoint.workflow_id == workflow_id)
        return {endpoint.trigger_key: endpoint for endpoint in endpoints}
