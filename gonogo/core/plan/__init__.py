"""What is approved: the runbook with times, scripts and a seal."""
