"""Backups: taken, proved, restored; and what a way back would destroy."""
