"""gonogo: a PostgreSQL migration, run like a launch."""

__version__ = "0.1.0"
