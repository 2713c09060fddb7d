"""Programs and web services."""
