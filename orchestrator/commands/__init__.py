"""What a person runs beside the service, on its database. Arguments are declared in cli.py."""
