"""`python -m gonogo`."""

from gonogo.cli import main

if __name__ == "__main__":
    # a flow run's process imports this module again
    main()
