"""A run as OpenTelemetry traces and metrics."""
