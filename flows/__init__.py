"""How a run is carried: the loop, what it performs, its watch, and Prefect around it."""
