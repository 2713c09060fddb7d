"""How each tool records what is done: one module a tool."""
