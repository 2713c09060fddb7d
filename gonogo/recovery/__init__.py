"""Backups: taken, proved, restored; and what a rollback would destroy."""
