"""What the tests share: plans made by hand, a ledger and a target in memory, servers, commands, projects."""
