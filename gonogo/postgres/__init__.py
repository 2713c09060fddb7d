"""PostgreSQL: connections, its programs, its catalog."""
