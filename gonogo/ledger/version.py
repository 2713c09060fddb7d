"""The version of the ledger, as the comment of its schema says it: of its tables, and of the form of the bodies in them.

2 has bodies in the second form (gonogo/core/engine/events.py); the tables are those of 1, which is read as well.
"""

VERSION = 2
