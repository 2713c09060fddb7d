"""The version of the ledger, as the comment of its schema says it: of its tables and functions, and of the form of the bodies.

The tables are those of 1. 2 has bodies in the second form (gonogo/core/engine/events.py); 3 has them in the third, and lets a
step begin only where the ledger holds what its runner recorded last. Older ones are read, and upgraded as a run goes on.
"""

VERSION = 3
