"""Lets ``python -m penstock`` be the command line."""

from penstock.main import main

if __name__ == "__main__":
    main()
