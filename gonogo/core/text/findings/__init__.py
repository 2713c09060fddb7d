"""What was found, in the forms that people and code hosts read: one module a form."""
