"""The pages of docs/ that are made from the code: `just docs` writes them. Not part of the wheel."""
