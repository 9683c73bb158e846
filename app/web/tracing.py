"""OpenTelemetry spans around requests, when OTEL_EXPORTER_OTLP_ENDPOINT is set.

Every span is exported through `RedactingExporter`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from litestar.types import HTTPScope
from opentelemetry import trace

TRACER = trace.get_tracer("switchyard.web")


def start_tracing(endpoint: str, service: str = "switchyard-web") -> None:
    """Sends spans to an OTLP/HTTP collector; without an endpoint the tracer does nothing."""
    if not endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from app.web.span_export import RedactingExporter

    exporter = RedactingExporter(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces"))

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@contextmanager
def span(scope: HTTPScope) -> Iterator[None]:
    """A server span for a request, named after its route; it contains no query string and no body."""
    with TRACER.start_as_current_span(scope["method"], kind=trace.SpanKind.SERVER) as current:
        try:
            yield
        finally:
            if current.is_recording():
                route = scope.get("path_template", "")
                current.update_name(f"{scope['method']} {route}".strip())
                current.set_attribute("http.request.method", scope["method"])
                current.set_attribute("http.route", route)
                current.set_attribute("switchyard.request_id", scope["state"]["request_id"])
