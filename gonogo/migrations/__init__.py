"""Migrations that other tools keep: read as these tools read them, and recorded where they look for what is done."""
