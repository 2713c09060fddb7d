"""Measurements: a module for each kind of check, named like the kind. `measure` asks any of them."""
