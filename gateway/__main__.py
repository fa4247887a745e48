"""`python -m gateway` is `vestibule`."""

from gateway.app.cli.main import main

if __name__ == "__main__":
    main()
