"""Migrations that other tools wrote."""
