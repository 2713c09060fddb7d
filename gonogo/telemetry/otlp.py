"""OpenTelemetry's SDK, and the only module that knows it: it comes with the extra `otel`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from gonogo import __version__
from gonogo.telemetry.follow import Labels
from gonogo.telemetry.spans import Span

#: seconds between two sendings of numbers
_EVERY = 15
_ASKED = TraceFlags(TraceFlags.SAMPLED)


class _Ids(IdGenerator):
    """Gives the ids that were said last."""

    def __init__(self) -> None:
        self.trace, self.span = 1, 1

    def generate_span_id(self) -> int:
        return self.span

    def generate_trace_id(self) -> int:
        return self.trace


class _Spans(OTLPSpanExporter):
    """Remembers whether anything was not taken."""

    failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self.failed = self.failed or result is not SpanExportResult.SUCCESS
        return result


class _Numbers(OTLPMetricExporter):
    """Remembers whether the newest numbers were taken: older ones are in them."""

    failed = False

    def export(self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: object) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **more)
        self.failed = result is not MetricExportResult.SUCCESS
        return result


class Otlp:
    """Sends spans and numbers by OTLP over HTTP, to where the environment says."""

    def __init__(self) -> None:
        # what was not sent is said once, in our words, at the end
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        resource = Resource.create({"service.name": "gonogo", "service.version": __version__})
        self._ids, self._sent, self._told = _Ids(), _Spans(), _Numbers()
        self._tracing = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._tracing.add_span_processor(BatchSpanProcessor(self._sent))
        self._tracer = self._tracing.get_tracer("gonogo", __version__)
        reader = PeriodicExportingMetricReader(self._told, export_interval_millis=_EVERY * 1000)
        self._measuring = MeterProvider(resource=resource, metric_readers=[reader], shutdown_on_exit=False)
        meter = self._measuring.get_meter("gonogo", __version__)
        self._counters = {
            "gonogo.backfill.rows": meter.create_counter("gonogo.backfill.rows", "{row}", "Rows that backfills did."),
            "gonogo.holds": meter.create_counter("gonogo.holds", "{hold}", "How often it held."),
        }
        self._gauges = {
            "gonogo.run.done": meter.create_gauge("gonogo.run.done", "1", "How much of the planned work is done, 0 to 1."),
            "gonogo.run.held": meter.create_gauge("gonogo.run.held", "1", "Whether it holds, for a person."),
            "gonogo.run.downtime": meter.create_gauge("gonogo.run.downtime", "s", "How long the application was down for it."),
            "gonogo.watch.value": meter.create_gauge("gonogo.watch.value", description="The newest value of a watched check."),
        }
        self._seconds = {
            "gonogo.script.duration": meter.create_histogram("gonogo.script.duration", "s", "How long a script took."),
        }

    def span(self, span: Span) -> None:
        """Send a span that is over."""
        self._ids.trace, self._ids.span = span.trace, span.id
        context = None
        if span.parent:
            parent = SpanContext(trace_id=span.trace, span_id=span.parent, is_remote=True, trace_flags=_ASKED)
            context = set_span_in_context(NonRecordingSpan(parent))
        made = self._tracer.start_span(
            span.name,
            context=context,
            attributes=dict(span.attributes),
            start_time=_ns(span.begins),
        )
        for at, what, by in span.marks:
            made.add_event(what, {"gonogo.by": by}, timestamp=_ns(at))
        made.set_status(Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK))
        made.end(end_time=_ns(span.ends))

    def count(self, name: str, value: float, labels: Labels) -> None:
        """Add to a number that only grows."""
        self._counters[name].add(value, labels)

    def gauge(self, name: str, value: float, labels: Labels) -> None:
        """Set a number."""
        self._gauges[name].set(value, labels)

    def seconds(self, name: str, value: float, labels: Labels) -> None:
        """Record how long something took."""
        self._seconds[name].record(value, labels)

    def close(self, patience: float) -> str:
        """Send what is left, for some seconds; return why something was not sent, if it was not."""
        half = int(patience * 500)
        done = self._tracing.force_flush(half) and self._measuring.force_flush(half)
        self._tracing.shutdown()
        self._measuring.shutdown(half)
        return "" if done and not (self._sent.failed or self._told.failed) else "the collector did not take them"


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
