"""Reports, from the ledger alone."""
