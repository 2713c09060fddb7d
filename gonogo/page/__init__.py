"""A run's live page: what a run does now, and the place to say go, no-go or hold; in a browser, behind a password."""
