"""What a request header prefers: Accept, Accept-Language (RFC 9110 section 12.4.2)."""


def by_preference(header: str) -> list[str]:
    """Its values in lower case, the most preferred first, without those that it refuses or weighs with no number."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(","):
        value, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            wanted.append((float(quality), value))
        except ValueError:
            continue
    return [value for preference, value in sorted(wanted, key=lambda entry: -entry[0]) if preference > 0]
