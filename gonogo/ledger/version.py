"""The version of the ledger's tables, as the comment of its schema says it."""

VERSION = 1
