"""What people read: messages, the log, pages."""
