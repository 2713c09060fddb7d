"""From files to a plan."""
